"""A lock between processes that the operating system releases when its holder dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_POLL_SECONDS: Final = 0.1

if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the lock of that name; wait for whoever has it.

    The empty file stays behind: deleting it would let two processes hold two files of one name.

    Raises:
        OSError: the file cannot be made, or the file system knows no locks.
    """
    with path.open("ab") as file:
        while not _try_lock(file):
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            _unlock(file)


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Hold the lock of that name if nobody else does; says whether it is held.

    Where the file system knows no locks, it counts as held.

    Raises:
        OSError: the file cannot be made.
    """
    with path.open("ab") as file:
        try:
            held = _try_lock(file)
        except OSError:
            yield True
            return
        try:
            yield held
        finally:
            if held:
                _unlock(file)
