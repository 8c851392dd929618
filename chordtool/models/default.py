"""The model that comes inside the package."""

from __future__ import annotations

import os
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

from chordtool.errors import ModelUnavailableError
from chordtool.models.onnx import OnnxModel

PATH: Final = Path(__file__).with_name("data") / "default.onnx"


def load() -> OnnxModel:
    """The packaged model.

    Raises:
        ModelUnavailableError: this installation came without it.
    """
    try:
        with PATH.open("rb") as file:
            data = mmap(file.fileno(), 0, access=ACCESS_READ)
    except (OSError, ValueError):  # ValueError: it is empty
        raise _missing() from None
    return OnnxModel(data, path=PATH, threads=min(2, os.cpu_count() or 1))


def read() -> bytes:
    """The file of the packaged model.

    Raises:
        ModelUnavailableError: this installation came without it.
    """
    try:
        return PATH.read_bytes()
    except OSError:
        raise _missing() from None


def _missing() -> ModelUnavailableError:
    return ModelUnavailableError(
        "The packaged model is missing from this installation.",
        hint="Install chordtool again: pipx reinstall chordtool.",
    )
