"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

_PART: Final = (".chordtool-", ".part")
PART_PATTERN: Final = "*".join(_PART)
"""Names of files that are being written, or were, when somebody was killed or locked out."""


def require_regular(path: Path) -> None:
    """Refuse what is no file: reading a pipe or a device may never end.

    Raises:
        OSError: it is a folder, a pipe or a device, or is not there.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is no file but a folder, a pipe or a device")


def read_bounded(path: Path, limit: int) -> bytes:
    """The bytes of a file of unknown origin.

    Raises:
        OSError: it cannot be read, is no file, or has more than ``limit`` bytes.
    """
    require_regular(path)
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit} bytes")
    return data


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, in hex digits.

    Raises:
        OSError: the file cannot be read, or is none.
    """
    digest = hashlib.sha256()
    require_regular(path)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def place_of(path: Path) -> Path:
    """The file that writing to a name changes: the one that a link names, or the name itself.

    For names that the user chose; what a corpus or a run holds is not followed anywhere.

    Raises:
        OSError: a folder, a pipe or a device is there, or links lead in a circle.
    """
    with suppress(FileNotFoundError):
        require_regular(path)
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def ignores_case(folder: Path) -> bool:
    """Whether names that differ in case only are the same in a folder, which may not be there yet.

    The answer is no where nothing can be written.
    """
    there = next((p for p in (folder, *folder.absolute().parents) if p.is_dir()), folder)
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=_PART[0], suffix=_PART[1]) as file:
            return there.joinpath(Path(file.name).name.upper()).exists()
    except OSError:
        return False


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file beside ``path`` for writing and rename it to ``path`` when all went well.

    Args:
        path: the final name; its folder must exist. An existing file is replaced.
        mode: ``"wb"`` or ``"w"`` (UTF-8, newlines as given).

    Raises:
        OSError: the folder is missing or read-only, or the disk is full. Nothing is left behind.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "newline": "", "errors": "surrogateescape"}
    # The prefix stays short and independent of the final name, which may be at the file
    # system's limit already.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_PART[0], suffix=_PART[1])
    part = Path(name)
    try:
        with os.fdopen(handle, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a result is as readable as any other new file.
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
