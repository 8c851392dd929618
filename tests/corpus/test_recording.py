from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chordtool.corpus.recording import Arrays, Metadata, Recording, write_recording
from chordtool.errors import CorpusError
from chordtool.frontend import FrontEnd


def arrays(frames: int = 40) -> Arrays:
    rng = np.random.default_rng(3)
    return Arrays(
        rng.normal(size=(frames, 144)).astype(np.float16),
        rng.integers(0, 170, frames).astype(np.int16),
        rng.integers(0, 256, (frames, 170)).astype(np.uint8),
    )


def metadata(content: Arrays) -> Metadata:
    return Metadata(
        audio_sha256="ab" * 32,
        seconds=3.7,
        front_end=FrontEnd(),
        posterior_step=0.1,
        teachers=({"name": "lv", "sha256": "0" * 64, "weight": 1.0},),
        labels_fingerprint="f" * 16,
        content_sha256=content.digest(),
        statistics={"confidence": 0.5},
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    content = arrays()
    path = tmp_path / "r.safetensors"
    write_recording(path, content, metadata(content))
    return path


def test_what_was_written_is_read(written: Path) -> None:
    content = arrays()
    recording = Recording(written)
    loaded = recording.load()
    assert recording.metadata == metadata(content)
    assert recording.frames == 40
    assert np.array_equal(loaded.features, content.features)
    assert np.array_equal(loaded.labels, content.labels)
    assert np.array_equal(loaded.codes, content.codes)
    assert recording.is_intact()


def test_a_stretch_is_read_alone(written: Path) -> None:
    part = Recording(written).load(10, 15)
    assert np.array_equal(part.labels, arrays().labels[10:15])
    assert part.features.shape == (5, 144)
    assert Recording(written).posteriors(38, 99).shape == (2, 170)


def test_same_content_is_the_same_file(tmp_path: Path) -> None:
    hashes = {
        write_recording(tmp_path / f"{i}.safetensors", arrays(), metadata(arrays()))
        for i in range(5)
    }
    assert len(hashes) == 1
    assert len({(tmp_path / f"{i}.safetensors").read_bytes() for i in range(5)}) == 1


def test_every_flipped_byte_is_noticed(written: Path) -> None:
    whole = written.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(0, len(whole), 60):
        broken = bytearray(whole)
        broken[position] ^= 0x55
        written.write_bytes(broken)
        try:
            recording = Recording(written)
        except CorpusError:
            continue
        changed = recording.metadata != metadata(arrays())
        assert changed or not recording.is_intact()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, 1000])
def test_a_truncated_file_is_refused(written: Path, length: int) -> None:
    written.write_bytes(written.read_bytes()[:length])
    with pytest.raises(CorpusError):
        Recording(written)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        Recording(tmp_path / "none.safetensors")


def test_a_newer_schema_is_refused(written: Path) -> None:
    data = written.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    text = header["__metadata__"]["chordtool.recording"]
    header["__metadata__"]["chordtool.recording"] = text.replace('"schema":1', '"schema":2')
    new = json.dumps(header).encode()
    written.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + size :])
    with pytest.raises(CorpusError, match="newer"):
        Recording(written)


def test_labels_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    content = replace(arrays(), labels=np.full(40, 170, np.int16))
    path = tmp_path / "r.safetensors"
    write_recording(path, content, metadata(content))
    with pytest.raises(CorpusError, match="no class"):
        Recording(path).load()


def test_arrays_of_another_shape_are_refused(tmp_path: Path) -> None:
    content = replace(arrays(), codes=np.zeros((39, 170), np.uint8))
    path = tmp_path / "r.safetensors"
    write_recording(path, content, metadata(content))
    with pytest.raises(CorpusError, match="another kind"):
        Recording(path)
