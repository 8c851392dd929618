"""The public checkpoint of BTC, a pickle, read without running what is in it.

A pickle is a program. It is looked at first: the archive must be plain, small and unpacked, and
the only names that the program may call are those that a dictionary of tensors with two numpy
scalars needs. Then :func:`torch.load` reads it with ``weights_only``, and the numpy scalars are
made by functions of our own.
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from chordtool.errors import ModelError

MAX_BYTES: Final = 256 << 20
"""Of the archive, and of its content; the published one has 12 MB."""
MAX_ENTRIES: Final = 20_000
MAX_PICKLE_BYTES: Final = 8 << 20

_SCALARS: Final = ("numpy.core.multiarray scalar", "numpy._core.multiarray scalar")
_NAMES: Final = frozenset(
    (
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
        "torch DoubleStorage",
        "torch LongStorage",
        "torch IntStorage",
        "numpy dtype",
        "_codecs encode",
        *_SCALARS,
    )
)
# Opcodes that look names up in other ways than by name, or make objects past the allow-list.
_FORBIDDEN: Final = frozenset(
    ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID")
)


@dataclass(frozen=True)
class BtcCheckpoint:
    """What a checkpoint holds that a model needs."""

    weights: dict[str, Tensor]
    """float32 by name; the BiLSTM that no forward pass uses is left out."""
    mean: float
    std: float


def read_checkpoint(path: Path) -> BtcCheckpoint:
    """Read a checkpoint of the public format: ``{"model": ..., "mean": ..., "std": ...}``.

    Raises:
        ModelError: it cannot be read, is damaged, hostile, or something else.
    """
    try:
        _look_at(path)
        content = _load(path)
    except OSError as error:
        raise ModelError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", hint=_HINT
        ) from None
    if not isinstance(content, Mapping) or not isinstance(content.get("model"), Mapping):
        raise _refused(path, "it holds no state dict under the name 'model'")
    weights: dict[str, Tensor] = {}
    for name, tensor in content["model"].items():
        if not isinstance(name, str) or type(tensor) is not Tensor:
            raise _refused(path, "its state dict holds something else than tensors")
        if not name.startswith("output_layer.lstm."):
            weights[name] = tensor
    mean, std = (_number(path, key, content.get(key)) for key in ("mean", "std"))
    if std <= 0:
        raise _refused(path, "its standard deviation is not above 0")
    return BtcCheckpoint(weights, mean, std)


_HINT: Final = "Run: chordtool models download btc"


def _refused(path: Path, why: str) -> ModelError:
    return ModelError(f"The checkpoint {path} is refused: {why}.", hint=_HINT)


def _number(path: Path, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refused(path, f"its {key!r} is not a finite number")
    return float(value)


def _look_at(path: Path) -> None:
    """Check archive and pickle without loading anything.

    Raises:
        ModelError: they are not those of a checkpoint.
        OSError: the file cannot be read.
    """
    if path.stat().st_size > MAX_BYTES:
        raise _refused(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_ENTRIES:
                raise _refused(path, "it is an archive of too many files")
            # torch stores tensors as they are: anything packed is not from torch, and a file
            # that overlaps others counts as often as it is listed.
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise _refused(path, "its content is compressed")
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise _refused(path, f"its content is larger than {MAX_BYTES >> 20} MiB")
            pickles = [e for e in entries if e.filename.endswith(".pkl")]
            if len(pickles) != 1 or not pickles[0].filename.endswith("/data.pkl"):
                raise _refused(path, "it is not an archive that torch saved")
            if pickles[0].file_size > MAX_PICKLE_BYTES:
                raise _refused(path, f"its pickle is larger than {MAX_PICKLE_BYTES >> 20} MiB")
            program = archive.read(pickles[0])
    except (zipfile.BadZipFile, NotImplementedError, ValueError, RuntimeError, EOFError):
        raise _refused(path, "it is damaged, or not an archive that torch saved") from None
    _check_program(path, program)


def _check_program(path: Path, program: bytes) -> None:
    try:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name in _FORBIDDEN:
                raise _refused(path, "it is a pickle that could run code; it was not opened")
            if opcode.name == "GLOBAL" and argument not in _NAMES:
                raise _refused(
                    path, f"it is a pickle that calls {str(argument)[:60]!r}; it was not opened"
                )
    except (ValueError, UnicodeDecodeError, OverflowError, IndexError):
        raise _refused(path, "its pickle is damaged") from None


class _Dtype:
    """Stands in for :class:`numpy.dtype`: one of two floating-point types."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in ("f4", "f8"):
            raise ValueError(f"numpy type {code!r}")
        self.format = "f" if code == "f4" else "d"
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">"):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]


def _scalar(dtype: _Dtype, data: bytes) -> float:
    """Stands in for numpy's maker of scalars."""
    (value,) = struct.unpack(dtype.order + dtype.format, data)
    return float(value)


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for ``_codecs.encode``, as which pickles of protocol 2 write bytes."""
    if encoding != "latin1":
        raise ValueError(f"encoding {encoding!r}")
    return text.encode("latin-1")


def _load(path: Path) -> Any:
    ours: list[Any] = [
        (_Dtype, "numpy.dtype"),
        (_encode, "_codecs.encode"),
        *((_scalar, name.replace(" ", ".")) for name in _SCALARS),
    ]
    try:
        with torch.serialization.safe_globals(ours):
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:
        # What a damaged pickle makes torch raise is not written down anywhere.
        first = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise _refused(path, f"torch cannot read it ({first})") from None
