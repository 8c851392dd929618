"""Small disks that can fill up, be made larger, and become read-only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class CannotMountError(Exception):
    """Mounting is not allowed here, or does not work."""


def can_mount() -> bool:
    """Whether this process may mount file systems."""
    return os.name == "posix" and os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A tmpfs of so many bytes at a folder.

    Raises:
        CannotMountError: it cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size},mode=0777", "tmpfs", str(folder))
    except OSError as error:
        raise CannotMountError(str(error)) from None
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False, capture_output=True)


def resize(folder: Path, size: int) -> None:
    """Give the disk another size, at least what is on it."""
    size = max(size, shutil.disk_usage(folder).used)
    _mount("-o", f"remount,size={size}", str(folder))


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip())


def used(folder: Path) -> int:
    """Bytes that the files below a folder take."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
