"""A hash at the end of a model file, so that a bit that a disk has changed is noticed.

It is one more entry of the ONNX file's metadata and covers all bytes before it: in protocol
buffers, what is appended to a message is part of it. It guards against accidents, not against
people, who can seal what they have changed.
"""

from __future__ import annotations

from typing import Final

from chordtool.errors import ModelError

KEY: Final = b"chordtool.sha256"
_DIGITS: Final = 64
_METADATA: Final = 14 << 3 | 2  # ModelProto.metadata_props, of onnx.proto
_ENTRY: Final = bytes([1 << 3 | 2, len(KEY), *KEY, 2 << 3 | 2, _DIGITS])
_HEAD: Final = bytes([_METADATA, len(_ENTRY) + _DIGITS]) + _ENTRY
LENGTH: Final = len(_HEAD) + _DIGITS
"""Bytes that a seal takes."""


def seal(data: bytes) -> bytes:
    """An ONNX file with its seal; one that it had is made anew."""
    body = data[:-LENGTH] if _is_sealed(data) else data
    return body + _HEAD + _digest(body)


def check_seal(data: bytes, name: str) -> None:
    """Refuse a file that is not what was sealed. Files without a seal pass.

    Args:
        data: an ONNX file.
        name: how messages call it.

    Raises:
        ModelError: it is damaged.
    """
    if not _is_sealed(data):
        return
    if _digest(memoryview(data)[:-LENGTH]) != data[-_DIGITS:]:
        raise ModelError(
            f"The model {name} is damaged: it is not what was exported.",
            hint="Get it again, or export it again.",
        )


def _digest(body: bytes | memoryview) -> bytes:
    import hashlib  # loads OpenSSL, which the packaged model's path has no use for

    return hashlib.sha256(body).hexdigest().encode()


def _is_sealed(data: bytes) -> bool:
    return data[-LENGTH:-_DIGITS] == _HEAD
