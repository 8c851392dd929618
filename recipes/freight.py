"""Features, posteriors and labels in few bytes, for a machine that has no audio.

Features are rounded to a third of a neper (:data:`STEPS`), which adds noise 0.8 dB strong, and
foretold from the frames and bins beside them; what is left goes through LZMA. A teacher's
posteriors are rounded the more coarsely the less likely a class is. That is a quarter of the
bytes of the float16 that corpora store. Files that must stay exact are packed as they are.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save

from chordtool.errors import UsageError
from chordtool.files import atomic_write

_In = TypeVar("_In")
_Out = TypeVar("_Out")

STEPS: Final = 3
"""Levels a neper of features."""
LIMIT_BYTES: Final = 44 << 20
"""An archive takes no further group of files when it has this size."""
_GROUP_BYTES: Final = 24 << 20
_FILTERS: Final = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0}]
_TOGETHER: Final = 16
"""Recordings whose levels are added up at once."""
_WEIGHTS: Final = (31, 8, 36, 2, -19, 10, -6)
"""Of the neighbours, in 64ths: least squares over renderings and records."""
_NEIGHBOURS: Final = ((1, 0), (2, 0), (0, -1), (0, -2), (1, -1), (1, 1), (1, -2))
"""(frames before, bins above) a level."""
_COARSE: Final = np.array(
    [*range(10), *(c // 2 + 5 for c in range(10, 30)), *(c // 4 + 13 for c in range(30, 80)),
     *(c // 8 + 23 for c in range(80, 256))], np.uint8
)  # fmt: skip
"""Rounded posterior codes by code."""


@dataclass(frozen=True)
class Item:
    """A file to be packed."""

    path: Path
    name: str
    """Where it goes, below the folder that it is unpacked into."""
    exact: bool = False
    """Whether it is packed as it is; what is no safetensors file always is."""


def pack(
    items: Iterable[Item], target: Path, name: str, *, limit: int = LIMIT_BYTES, jobs: int = 1
) -> list[Path]:
    """Write ``NAME-00.pack``, ``NAME-01.pack``, ...: groups of files, each compressed by itself.

    Args:
        items: the files, in order.
        target: a folder, made if it is not there; archives of this name in it are replaced.
        name: what the archives' names begin with.
        limit: bytes after which the next archive is begun. A file is not divided: archives can be
            larger by the largest one.
        jobs: processes that compress.

    Returns:
        the archives.
    """
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob(f"{name}-*.pack"):
        old.unlink()
    archives: list[Path] = []
    held: list[bytes] = []

    def close() -> None:
        path = target / f"{name}-{len(archives):02}.pack"
        with atomic_write(path) as file:
            for group in held:
                file.write(len(group).to_bytes(8, "little") + group)
        archives.append(path)
        held.clear()

    for group in _mapped(_compressed, _groups(items, min(_GROUP_BYTES, limit)), jobs):
        if held and sum(map(len, held)) + len(group) > limit:
            close()
        held.append(group)
    if held:
        close()
    return archives


def unpack(archive: Path, folder: Path, jobs: int = 1) -> int:
    """Write the files of an archive below a folder.

    Returns:
        how many.

    Raises:
        UsageError: it is broken, or names files outside the folder.
    """
    data = archive.read_bytes()
    groups: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        groups.append(data[at + 8 : at + 8 + length])
        at += 8 + length
    if at != len(data):
        raise UsageError(f"{archive} is truncated.", hint="Copy it again.")
    try:
        return sum(_mapped(partial(_written, folder=folder), groups, jobs))
    except (lzma.LZMAError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise UsageError(f"{archive} cannot be unpacked: {error}.", hint="Copy it again.") from None


def _mapped(work: Callable[[_In], _Out], items: Iterable[_In], jobs: int) -> Iterator[_Out]:
    if jobs == 1:
        yield from map(work, items)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(work, items)


def _groups(items: Iterable[Item], limit: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    size = 0
    for item in items:
        group.append(item)
        size += item.path.stat().st_size
        if size > limit:
            yield group
            group, size = [], 0
    if group:
        yield group


def _compressed(group: Sequence[Item]) -> bytes:
    arrays: dict[str, NDArray[Any]] = {}
    described: list[dict[str, Any]] = []
    for number, item in enumerate(group):
        if item.exact or item.path.suffix != ".safetensors":
            described.append({"name": item.name})
            arrays[f"{number}"] = np.frombuffer(item.path.read_bytes(), np.uint8)
            continue
        with safe_open(item.path, "np") as file:
            described.append({"name": item.name, "metadata": file.metadata() or {}})
            for key in file.keys():  # noqa: SIM118 - it is no dict
                coded = _coded(key, file.get_tensor(key))
                arrays[f"{number}.{key}"] = coded
    content = save(arrays, {"files": json.dumps(described)})
    return lzma.compress(content, lzma.FORMAT_XZ, filters=_FILTERS)


def _written(group: bytes, folder: Path) -> int:
    content = lzma.decompress(group)
    length = int.from_bytes(content[:8], "little")
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["files"])
    arrays: dict[str, dict[str, NDArray[Any]]] = {}
    for name, array in load(content).items():
        owner, _, key = name.partition(".")
        arrays.setdefault(owner, {})[key] = array
    coded = {n: parts["features"] for n, parts in arrays.items() if "features" in parts}
    levels = dict(zip(coded, _levels(list(coded.values())), strict=True))
    for number, entry in enumerate(described):
        path = folder / entry["name"]
        if not path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"The archive names {entry['name']}, outside the folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = arrays[str(number)]
        if "metadata" not in entry:
            content = parts[""].tobytes()
            with atomic_write(path) as file:
                file.write(content)
            continue
        if "features" in parts:
            parts["features"] = levels[str(number)]
        tensors = {key: _decoded(key, array) for key, array in parts.items()}
        with atomic_write(path) as file:
            file.write(save(tensors, entry["metadata"]))
    return len(described)


def _coded(key: str, array: NDArray[Any]) -> NDArray[Any]:
    if key == "features":
        levels = np.clip(np.rint(array.astype(np.float32) * STEPS), -60, 60).astype(np.int8)
        return (levels - _foretold(levels)).astype(np.int8)
    if key == "posteriors":
        rounded = _COARSE[array]
        return np.diff(rounded, axis=0, prepend=np.zeros_like(rounded[:1]))
    return array


def _decoded(key: str, array: NDArray[Any]) -> NDArray[Any]:
    if key == "features":
        return (array.astype(np.float32) / STEPS).astype(np.float16)
    if key == "posteriors":
        codes = np.cumsum(array, axis=0, dtype=np.uint8)
        return _CENTRES[codes]
    return array


_CENTRES: Final = np.array(
    [round(float(np.flatnonzero(c == _COARSE).mean())) for c in range(int(_COARSE.max()) + 1)],
    np.uint8,
)
"""Posterior codes by rounded code."""


def _levels(residuals: list[NDArray[np.int8]]) -> list[NDArray[np.int8]]:
    """:func:`_summed` for recordings of any numbers of bins, those of like length together."""
    order = sorted(range(len(residuals)), key=lambda k: (residuals[k].shape[1], len(residuals[k])))
    found: dict[int, NDArray[np.int8]] = {}
    for at in range(0, len(order), _TOGETHER):
        part = order[at : at + _TOGETHER]
        while part:
            n_bins = residuals[part[0]].shape[1]
            same = [k for k in part if residuals[k].shape[1] == n_bins]
            found.update(zip(same, _summed([residuals[k] for k in same]), strict=True))
            part = [k for k in part if k not in found]
    return [found[k] for k in range(len(residuals))]


def _foretold(levels: NDArray[np.int8]) -> NDArray[np.int16]:
    """What :func:`_summed` expects of each level, knowing those before it."""
    n_frames, n_bins = levels.shape
    wide = np.pad(levels.astype(np.int16), ((2, 0), (2, 1)))
    total = np.full(levels.shape, 32, np.int16)
    for weight, (up, aside) in zip(_WEIGHTS, _NEIGHBOURS, strict=True):
        total += np.int16(weight) * wide[2 - up :, 2 + aside : 2 + aside + n_bins][:n_frames]
    return total >> 6


def _summed(residuals: Sequence[NDArray[np.int8]]) -> list[NDArray[np.int8]]:
    """The levels of recordings of the same number of bins, from what was not foretold.

    A level needs those of the frame before it up to one bin higher. All with the same
    ``2 * frame + bin`` therefore need only earlier ones, and are computed at once.
    """
    n_bins = residuals[0].shape[1]
    longest = max(map(len, residuals))
    wide = np.zeros((longest + 2, n_bins + 3, len(residuals)), np.int16)
    for r, residual in enumerate(residuals):
        wide[2 : len(residual) + 2, 2:-1, r] = residual
    for front in range(2 * (longest - 1) + n_bins):
        t = np.arange(max(0, (front - n_bins) // 2 + 1), min(longest - 1, front // 2) + 1)
        i, j = t + 2, front - 2 * t + 2
        total = sum(
            np.int16(w) * wide[i - up, j + aside]
            for w, (up, aside) in zip(_WEIGHTS, _NEIGHBOURS, strict=True)
        )
        # Residuals were wrapped to eight bits.
        wide[i, j] = ((((total + np.int16(32)) >> 6) + wide[i, j]) + 128) % 256 - 128
    return [wide[2 : len(r) + 2, 2:-1, k].astype(np.int8) for k, r in enumerate(residuals)]
