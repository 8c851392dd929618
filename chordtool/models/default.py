"""The model that comes inside the package."""

from __future__ import annotations

import os
from importlib.resources import files

from chordtool.errors import ModelUnavailableError
from chordtool.models.onnx import OnnxModel

RESOURCE = "default.onnx"


def load() -> OnnxModel:
    """The packaged model.

    Raises:
        ModelUnavailableError: this installation came without it.
    """
    return OnnxModel(read(), threads=min(2, os.cpu_count() or 1))


def read() -> bytes:
    """The file of the packaged model.

    Raises:
        ModelUnavailableError: this installation came without it.
    """
    resource = files("chordtool.models") / "data" / RESOURCE
    try:
        return resource.read_bytes()
    except OSError:
        raise ModelUnavailableError(
            "The packaged model is missing from this installation.",
            hint="Install chordtool again: pipx reinstall chordtool.",
        ) from None
