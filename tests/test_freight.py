from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from chordtool.errors import UsageError
from recipes import freight
from recipes.freight import Item, pack, unpack


def recording(path: Path, n_frames: int, n_bins: int = 24, **more: NDArray[Any]) -> Path:
    rng = np.random.default_rng(n_frames)
    path.parent.mkdir(parents=True, exist_ok=True)
    features = rng.normal(-4.0, 2.0, (n_frames, n_bins)).cumsum(1).clip(-14, 3).astype(np.float16)
    save_file({"features": features, **more}, path, {"who": path.name})
    return path


@pytest.mark.parametrize("jobs", [1, 2])
def test_features_come_back_within_half_a_step(tmp_path: Path, jobs: int) -> None:
    lengths = [1, 2, 700, 30, 31, 5, 90, 1, 33, 47, 12, 8, 260, 3, 19, 21, 22, 23]
    made = [
        recording(tmp_path / f"{k}.safetensors", n, 24 if k % 5 else 17)
        for k, n in enumerate(lengths)
    ]
    items = [Item(path, f"a/{path.name}") for path in made]
    archives = pack(items, tmp_path / "packed", "x", limit=4000, jobs=jobs)
    assert len(archives) > 1
    assert sum(unpack(archive, tmp_path / "there", jobs) for archive in archives) == len(made)
    for path in made:
        before, after = load_file(path), load_file(tmp_path / "there" / "a" / path.name)
        difference = before["features"].astype(np.float32) - after["features"].astype(np.float32)
        assert after["features"].dtype == np.float16
        assert np.abs(difference).max() <= 0.5 / freight.STEPS + 0.005  # float16's own rounding


@given(
    arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-60, 60))
)
def test_levels_are_told_from_what_was_not_foretold(levels: NDArray[np.int8]) -> None:
    rest = (levels - freight._foretold(levels)).astype(np.int8)
    other = np.zeros((3, levels.shape[1]), np.int8)
    assert np.array_equal(freight._summed([other, rest])[1], levels)


def test_posteriors_are_rounded_the_less_the_likelier_a_class_is(tmp_path: Path) -> None:
    codes = np.arange(256, dtype=np.uint8).reshape(2, 128)
    labels = np.array([3, -1], np.int16)
    path = recording(tmp_path / "r.safetensors", 2, posteriors=codes, labels=labels)
    (archive,) = pack([Item(path, "r.safetensors")], tmp_path, "x")
    unpack(archive, tmp_path / "there")
    after = load_file(tmp_path / "there" / "r.safetensors")
    assert np.array_equal(after["labels"], labels)
    off = np.abs(after["posteriors"].astype(int) - codes).ravel()
    assert off[:10].max() == 0
    assert (off[10:30].max(), off[30:80].max(), off[80:].max()) == (1, 2, 4)


def test_other_files_and_exact_ones_come_back_as_they_are(tmp_path: Path) -> None:
    exact = recording(tmp_path / "e.safetensors", 40)
    (tmp_path / "notes.json").write_text('{"a": 1}')
    (tmp_path / "empty.txt").write_text("")
    items = [
        Item(exact, "e.safetensors", exact=True),
        Item(tmp_path / "notes.json", "deep/notes.json"),
        Item(tmp_path / "empty.txt", "empty.txt"),
    ]
    (archive,) = pack(items, tmp_path / "packed", "x")
    assert unpack(archive, tmp_path / "there") == 3
    for item in items:
        assert (tmp_path / "there" / item.name).read_bytes() == item.path.read_bytes()


def test_a_file_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("x")
    (archive,) = pack([Item(tmp_path / "x.txt", "../../outside")], tmp_path / "packed", "x")
    with pytest.raises(UsageError, match="outside the folder"):
        unpack(archive, tmp_path / "a" / "b")
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("damage", ["short", "changed", "long"])
def test_a_broken_archive_is_one_sentence(tmp_path: Path, damage: str) -> None:
    (archive,) = pack([Item(recording(tmp_path / "r.safetensors", 40), "r")], tmp_path, "x")
    data = bytearray(archive.read_bytes())
    if damage == "short":
        del data[-3:]
    elif damage == "changed":
        data[len(data) // 2] ^= 0x55
    else:
        data += b"\x05"
    archive.write_bytes(data)
    with pytest.raises(UsageError, match=r"x-00\.pack"):
        unpack(archive, tmp_path / "there")
