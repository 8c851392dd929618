"""Reading from those who may keep one waiting, standard input above all."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections.abc import Iterator
from typing import BinaryIO, Final

_CHUNK: Final = 1 << 20
"""Bytes that are read at once, at most."""
_LOOK_UP_SECONDS: Final = 0.25


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """What a stream holds, to its end; an interruption is heard while nothing comes.

    A signal interrupts a read that waits, but not one that is about to: it would be heard when the
    writer writes again, or never. So nothing is read before there is something to read.

    Raises:
        OSError, ValueError: the stream cannot be read, or is closed.
    """
    descriptor = _descriptor(stream)
    # Of a buffer, what one read brings: more would wait again, out of the interpreter's sight.
    read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
    while True:
        if descriptor is not None:
            while not select.select([descriptor], [], [], _LOOK_UP_SECONDS)[0]:
                pass
        chunk = read(_CHUNK)
        if not chunk:
            return
        yield chunk


def _descriptor(stream: BinaryIO) -> int | None:
    """What can be waited for: a pipe or a terminal.

    Not a connection: a layer above it, such as TLS, may hold what has come, and it may have a
    time limit of its own.
    """
    if sys.platform == "win32":
        return None
    try:
        descriptor = stream.fileno()
        mode = os.fstat(descriptor).st_mode
        select.select([descriptor], [], [], 0)  # a number may be too large
    except (AttributeError, OSError, ValueError):
        return None
    return descriptor if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) else None
