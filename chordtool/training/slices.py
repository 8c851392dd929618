"""Rows of tensors in safetensors files, read without loading the file.

Training draws short stretches from many recordings. A stretch costs one open, one small header
and one read; nothing of the file stays in memory, however large the corpus is.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chordtool.errors import TrainingError

MAX_HEADER_BYTES: Final = 1 << 20
_DTYPES: Final = {
    "F16": np.float16, "F32": np.float32, "I16": np.int16, "I32": np.int32,
    "U8": np.uint8, "I8": np.int8, "U16": np.uint16,
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """Where a tensor lies in its file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    """Bytes from the start of the file."""
    row_bytes: int
    """Bytes of one row, that is of everything behind the first axis."""


def layout(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        TrainingError: the file is missing, truncated, or no safetensors file.
    """
    return _header(path)[0]


def metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; raises as :func:`layout` does."""
    return _header(path)[1]


def forget() -> None:
    """Read headers again when they are next asked for: a file was written anew."""
    _header.cache_clear()


@lru_cache(maxsize=4096)
def _header(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
                raise ValueError
            header = json.loads(file.read(length))
        described = {str(k): str(v) for k, v in header.pop("__metadata__", {}).items()}
        return {name: _tensor(entry, 8 + length, size) for name, entry in header.items()}, described
    except OSError as error:
        raise broken(path, str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise broken(path, "it is truncated, or no safetensors file") from None


def _tensor(entry: dict[str, Any], start: int, size: int) -> Tensor:
    dtype: np.dtype[Any] = np.dtype(_DTYPES[entry["dtype"]])
    shape = tuple(int(n) for n in entry["shape"])
    begin, end = (int(n) for n in entry["data_offsets"])
    if any(n < 0 for n in shape):
        raise ValueError
    length = math.prod(shape) * dtype.itemsize
    if begin < 0 or end - begin != length or start + end > size:
        raise ValueError
    return Tensor(dtype, shape, start + begin, math.prod(shape[1:]) * dtype.itemsize)


def rows(path: Path, names: tuple[str, ...], start: int, stop: int) -> list[NDArray[Any]]:
    """Rows ``start`` to ``stop`` of some tensors of a file, all with the same number of rows.

    Raises:
        TrainingError: the file is broken, lacks a tensor, or has fewer rows.
    """
    tensors = layout(path)
    found: list[NDArray[Any]] = []
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise broken(path, str(error.strerror)) from None
    try:
        for name in names:
            tensor = tensors.get(name)
            if tensor is None or not tensor.shape or stop > tensor.shape[0]:
                raise broken(path, f"{name} is missing or too short")
            wanted = (stop - start) * tensor.row_bytes
            data = _read(handle, wanted, tensor.offset + start * tensor.row_bytes)
            if len(data) != wanted:
                raise broken(path, "it is truncated")
            found.append(np.frombuffer(data, tensor.dtype).reshape(-1, *tensor.shape[1:]))
    finally:
        os.close(handle)
    return found


def _read(handle: int, count: int, offset: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(handle, count, offset)
    os.lseek(handle, offset, os.SEEK_SET)
    return os.read(handle, count)


def broken(path: Path, why: str) -> TrainingError:
    """The error of a recording that cannot be read."""
    return TrainingError(
        f"The recording {path.name} cannot be read: {why}.",
        hint="Run `chordtool corpus verify` on the corpus, or delete the cache of the run.",
    )
