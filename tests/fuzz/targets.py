"""What is fuzzed: for each reader of untrusted input, good input and what must hold of any.

A target's ``check`` is given any bytes. It returns, or raises a ChordtoolError; anything else is
a finding, a broken promise (AssertionError) among them.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from chordtool import audio, vocabulary
from chordtool.corpus.compact import encode
from chordtool.corpus.folder import Corpus, Description
from chordtool.corpus.info import describe_corpus
from chordtool.corpus.manifest import Row
from chordtool.corpus.recording import Arrays, Metadata, Recording, write_recording
from chordtool.errors import ChordtoolError, TrainingError
from chordtool.formats import FormatOptions, load_format, render
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.models.onnx import OnnxModel
from chordtool.segments import Alternative, Segment, Transcription
from chordtool.vocabulary import LARGE, N_CLASSES
from tests.clips import CODECS
from tests.clips import encode as encode_clip
from tests.fuzz import mutation
from tests.fuzz.mutation import Mutation
from tests.tiny_student import tiny_card, tiny_student

ROOT = Path(__file__).resolve().parents[2]
CLIP = ROOT / "examples/clip.mp3"
CLIP_SECONDS = 1.5
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Target:
    """A reader, and what to feed it."""

    name: str
    check: Callable[[bytes], None]
    """Returns, or raises a ChordtoolError."""
    seeds: Callable[[], list[bytes]]
    """Good input."""
    mutate: Mutation
    in_python: bool = True
    """Whether the reader is Python code, so that coverage can guide."""
    memory: int = 512 * MEGABYTE
    """What one input may make the process grow by, in bytes."""


# Chord labels

_LABEL_TOKENS = tuple(
    b"A B C D E F G # b : / ( ) , * N X maj min dim aug sus4 sus2 hdim7 minmaj7 maj7 7 9 11 13 b7"
    b" *3 #11 b13 m7b5 + \xc3\xa9 \x00".split(b" ")
)


def _check_label(data: bytes) -> None:
    label = data.decode("utf-8", "replace")
    chord = vocabulary.parse(label)
    assert chord.root is None or 0 <= chord.root < 12
    assert 0 <= chord.bass < 12
    index = vocabulary.class_of(label)
    assert 0 <= index < N_CLASSES
    assert vocabulary.class_of(vocabulary.label_of(index)) == index
    assert vocabulary.class_of(vocabulary.mended(label)) == index
    moved = vocabulary.transpose(vocabulary.transpose(label, 5), -5)
    assert vocabulary.class_of(moved) == index


def _label_seeds() -> list[bytes]:
    wild = (
        "A:min7/b7 F#:maj(9,*3)/3 Bb:(1,b3,5) C:4 Emin/4 A7/3 G:sus4(b7) N X Db:hdim7 E:13".split()
    )
    return [label.encode() for label in (*LARGE[::9], *wild)]


# Files of chords


@cache
def song() -> Transcription:
    """A transcription with everything in it."""
    labels = ["N", "C", "A:min7/b7", "F#:sus4", "Bb:maj(9)", "X", "G:7", "N"]
    segments = tuple(
        Segment(2.0 * k, 2.0 * k + 2, label, 0.9, (Alternative("C:maj7", 0.05),))
        for k, label in enumerate(labels)
    )
    beats = tuple(0.5 * k for k in range(32))
    return Transcription(segments, 16.0, "song.mp3", "tiny", "large", beats, beats[::4],
                         {"title": "<b>Song</b>", "artist": "A & B"})  # fmt: skip


def _check_format(name: str) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        reader = load_format(name)
        assert reader.read is not None
        found = reader.read(data)
        now = 0.0
        for segment in found.segments:
            assert segment.start == now
            assert segment.end > segment.start
            assert 0 <= segment.confidence <= 1
            now = segment.end
        assert not found.segments or now == found.seconds
        for written in ("lab", "json", "jams", "csv", "srt", "chordpro", "html"):
            with suppress(ChordtoolError):
                data = render(found, written, FormatOptions())
                if written == name:
                    assert _ticks(reader.read(data)) == _ticks(found)

    return check


def _ticks(found: Transcription) -> list[str]:
    """What is left of a transcription after its times were rounded for a file."""
    return [vocabulary.mended(s.label) for s in found.segments if round(s.seconds, 2) > 0]


def _song_as(*names: str) -> list[bytes]:
    return [render(song(), name, FormatOptions(top=3)) for name in names]


# Corpora


def _rows() -> list[Row]:
    teacher = {"name": "lv", "sha256": "0" * 64, "weight": 1.0}
    statistics = {"class_frames": {"C": 20, "N": 20}, "confidence": 0.8, "content": "music",
                  "agreement": 0.9, "silence": 0.0, "tonalness": 3.0}  # fmt: skip
    labelled = Row("/music/a.flac", "labelled", 10, 20, "ab" * 32, 3.7, 40, (teacher,),
                   FrontEnd().fingerprint, "f" * 16, "cd" * 32, 999, statistics)  # fmt: skip
    return [
        labelled,
        Row("/music/b\udcff.mp3", "failed", error="It holds no audio."),
        Row("/music/c.mp3", "skipped", 4, 5, "ef" * 32, 1.0, error="It is shorter than 5 s."),
        Row(None, "labelled", audio_sha256="12" * 32, labels_fingerprint="f" * 16),
    ]


def _description() -> Description:
    return Description(FrontEnd(), ({"name": "lv", "sha256": "0" * 64, "weight": 1.0},), "f" * 16)


@contextmanager
def _folder() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as name:
        yield Path(name)


def _check_manifest(data: bytes) -> None:
    with _folder() as folder:
        (folder / "corpus.json").write_text(_description().to_json())
        (folder / "manifest.jsonl").write_bytes(data)
        _use_corpus(folder)


def _check_corpus_json(data: bytes) -> None:
    with _folder() as folder:
        (folder / "corpus.json").write_bytes(data)
        (folder / "manifest.jsonl").write_text("".join(r.to_json() + "\n" for r in _rows()))
        _use_corpus(folder)


def _use_corpus(folder: Path) -> None:
    corpus = Corpus.open(folder)
    assert Description.from_json(corpus.description.to_json(), folder) == corpus.description
    for row in corpus.rows():
        assert Row.from_json(row.to_json()) == row
        assert isinstance(row.music, bool)
        assert row.agreement is None or isinstance(row.agreement, float)
    for recording in corpus.recordings():
        assert recording.path.resolve().is_relative_to(folder.resolve())
    json.dumps(describe_corpus(corpus).to_dict())


@cache
def _recording() -> bytes:
    rng = np.random.default_rng(3)
    content = Arrays(
        rng.normal(size=(12, 144)).astype(np.float16),
        rng.integers(0, 170, 12).astype(np.int16),
        encode(rng.normal(size=(12, 170)).astype(np.float32)),
    )
    metadata = Metadata(
        audio_sha256="ab" * 32, seconds=1.1, front_end=FrontEnd(), posterior_step=0.1,
        teachers=_description().teachers, labels_fingerprint="f" * 16,
        content_sha256=content.digest(), statistics={"confidence": 0.5},
    )  # fmt: skip
    with _folder() as folder:
        write_recording(folder / "r.safetensors", content, metadata)
        return (folder / "r.safetensors").read_bytes()


def _check_recording(data: bytes) -> None:
    with _folder() as folder:
        path = folder / "r.safetensors"
        path.write_bytes(data)
        recording = Recording(path)
        recording.is_intact()
        arrays = recording.load()
        assert len(arrays.features) == len(arrays.labels) == len(arrays.codes) == recording.frames
        assert not len(arrays.labels) or 0 <= arrays.labels.min() <= arrays.labels.max() < N_CLASSES
        posteriors = recording.posteriors(0, 5, temperature=3.0)
        assert np.isfinite(posteriors).all()
        assert Metadata.from_json(recording.metadata.to_json()) == recording.metadata


# Models


def _check_card(data: bytes) -> None:
    card = ModelCard.from_json(data.decode("utf-8", "replace"))
    assert ModelCard.from_json(card.to_json()) == card


def _card_seeds() -> list[bytes]:
    rich = tiny_card(
        version="2", source="somewhere", teacher="lv",
        training={"data": [{"name": "x", "hours": 3.5}]}, metrics={"validation": 0.5},
    )  # fmt: skip
    return [tiny_card().to_json().encode(), rich.to_json().encode()]


@cache
def _noise() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, 22_050).astype(np.float32)


def _check_onnx(data: bytes) -> None:
    model = OnnxModel(data)
    rate = model.card.front_end.sample_rate
    logits = model.logits(model.features(_noise()[: max(1, rate // 4)]))
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()


@cache
def _checkpoint_seeds() -> tuple[bytes, ...]:
    from safetensors.numpy import save

    from chordtool.training.checkpoint import STATE_KEY

    weights = {"weights.a": np.ones((3, 4), np.float32), "optimiser.step.a": np.ones((), "<f4")}
    state = {"schema": 1, "method": {"lr": 1e-3}, "data": "x", "progress": {"epoch": 1},
             "scaler": {}}  # fmt: skip
    card = tiny_card().to_json()
    metadata = {"chordtool.card": card, STATE_KEY: json.dumps(state)}
    return save(weights, metadata), save({"a": np.ones(5, np.int64)}, {"chordtool.card": card})


def _check_checkpoint(data: bytes) -> None:
    from chordtool.training import checkpoint

    with _folder() as folder:
        path = folder / "best.safetensors"
        path.write_bytes(data)
        with suppress(TrainingError):
            state, _, _ = checkpoint.load_state(path)
            assert isinstance(state, dict)
        card, tensors = checkpoint.load_checkpoint(folder)
    assert isinstance(card, ModelCard)
    assert sum(t.nbytes for t in tensors.values()) <= len(data)


@cache
def _pickle_seeds() -> tuple[bytes, ...]:
    import torch

    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.float64)}
    packed = io.BytesIO()
    torch.save({"model": tensors, "mean": np.float64(-2.5), "std": 1.5}, packed)
    return (packed.getvalue(),)


def _check_pickle(data: bytes) -> None:
    import torch

    from chordtool.models.btc_checkpoint import read_checkpoint

    with _folder() as folder:
        path = folder / "checkpoint.pt"
        path.write_bytes(data)
        found = read_checkpoint(path)
        assert [p.name for p in folder.iterdir()] == ["checkpoint.pt"]
    assert all(type(weight) is torch.Tensor for weight in found.weights.values())
    assert np.isfinite([found.mean, found.std]).all()


# Audio


@cache
def _clip_seeds() -> tuple[bytes, ...]:
    """The beginning of the repository's clip in every container and codec that can be made."""
    clip = audio.load(CLIP, 44_100).samples[44_100 : 44_100 + round(44_100 * CLIP_SECONDS)]
    stereo = np.stack([clip, 0.8 * clip], axis=1)
    found = []
    with _folder() as folder:
        for suffix, (container, codec) in CODECS.items():
            tags = {"title": "A <title>", "artist": "An artist"}
            path = encode_clip(folder / f"clip.{suffix}", stereo, 44_100, container, codec, tags)
            found.append(path.read_bytes())
    return tuple(found)


def _check_audio(data: bytes) -> None:
    with _folder() as folder:
        path = folder / "clip"
        path.write_bytes(data)
        found = audio.load(path, 22_050, limits=audio.Limits(seconds=600.0))
    assert found.samples.dtype == np.float32
    assert found.samples.ndim == 1
    assert len(found.samples) >= 1
    assert np.isfinite(found.samples).all()
    assert abs(len(found.samples) - found.seconds * 22_050) <= 2 + 0.001 * len(found.samples)
    for text in (found.facts.title, found.facts.artist):
        assert len(text) <= 200
        assert "\n" not in text
        assert "\x1b" not in text


def _with(mutate: Callable[..., bytes], *tokens: bytes) -> Mutation:
    def apply(rng: Random, data: bytes) -> bytes:
        return mutate(rng, data, tokens)

    return apply


_CARD_WORDS = (b"cqt", b"hybrid-cqt", b"majmin", b"large", b"viterbi", b"front_end", b"decoding",
               b"segment_frames", b"hop_length", b"n_bins", b"sample_rate", b"chunk_samples",
               b"schema")  # fmt: skip
_ROW_WORDS = (b"labelled", b"skipped", b"failed", b"path", b"statistics", b"class_frames",
              b"agreement", b"seconds", b"frames", b"teachers", b"content")  # fmt: skip
_ONNX_WORDS = (b"MatMul", b"Expand", b"Tile", b"ConstantOfShape", b"Pad", b"Range", b"If", b"Loop",
               b"features", b"logits", b"weights", b"bias", b"ai.onnx.ml", b"com.evil")  # fmt: skip

_PICKLE_WORDS = (b"cos\nsystem\n", b"cbuiltins\nexec\n", b"cpathlib\nPath\n", b"ctorch\nload\n",
                 b"ctorch._utils\n_rebuild_tensor_v2\n", b"X\x05\x00\x00\x00touch", b"R", b"\x81",
                 b"\x93", b"b", b"(", b"t", b"\x85", b"Q", b"h\x00", b"."
                 )  # fmt: skip

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("label", _check_label, _label_seeds, _with(mutation.mutate_bytes, *_LABEL_TOKENS)),
        Target("lab", _check_format("lab"), lambda: _song_as("lab"),
               _with(mutation.mutate_bytes, *_LABEL_TOKENS, b"\t", b"\n", b"1e9", b"nan", b"-1")),
        Target("json", _check_format("json"), lambda: _song_as("json", "jsonl"),
               _with(mutation.mutate_json, b"segments", b"label", b"C:maj7", b"majmin")),
        Target("jams", _check_format("jams"), lambda: _song_as("jams"),
               _with(mutation.mutate_json, b"chord", b"chord_harte", b"beat", b"data", b"value")),
        Target("manifest", _check_manifest,
               lambda: ["".join(r.to_json() + "\n" for r in _rows()).encode()],
               _with(mutation.mutate_lines, *_ROW_WORDS)),
        Target("corpus", _check_corpus_json, lambda: [_description().to_json().encode()],
               _with(mutation.mutate_json, *_CARD_WORDS, b"teachers", b"average")),
        Target("recording", _check_recording, lambda: [_recording()],
               _with(mutation.mutate_safetensors, *_CARD_WORDS, *_ROW_WORDS, b"F16", b"U8")),
        Target("card", _check_card, _card_seeds, _with(mutation.mutate_json, *_CARD_WORDS)),
        Target("onnx", _check_onnx, lambda: [tiny_student()],
               _with(mutation.mutate_onnx, *_ONNX_WORDS, *_CARD_WORDS), in_python=False,
               memory=5 << 30),
        Target("checkpoint", _check_checkpoint, lambda: list(_checkpoint_seeds()),
               _with(mutation.mutate_safetensors, *_CARD_WORDS, b"progress", b"method"),
               in_python=False),
        Target("pickle", _check_pickle, lambda: list(_pickle_seeds()),
               _with(mutation.mutate_archive, *_PICKLE_WORDS), in_python=False),
        Target("audio", _check_audio, lambda: list(_clip_seeds()), _with(mutation.mutate_bytes),
               in_python=False),
    )
}  # fmt: skip
