"""The files below a folder that somebody named."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path


def files_below(
    top: str, wanted: Callable[[str], bool], on_error: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
    """The files in a folder and below it that are wanted, folder by folder, sorted.

    Hidden files and folders are left out, and pipes, devices and sockets: to read one may never
    end. Links are followed, a folder is entered once. A link to nothing is there: it will fail on
    its own.

    Args:
        top: an existing folder.
        wanted: told a file's name.
        on_error: told about folders that cannot be listed; they are left out.
    """
    entered: set[tuple[int, int]] = set()
    for folder, subfolders, files in os.walk(top, onerror=on_error, followlinks=True):
        try:
            status = os.stat(folder)  # noqa: PTH116 - Path drops what a name cannot hold
        except OSError:  # vanished since its parent was listed
            subfolders.clear()
            continue
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(folder, name)  # noqa: PTH118
            if not name.startswith(".") and wanted(name) and not is_special(path):
                yield Path(path)


def is_special(path: str) -> bool:
    """Whether it is a pipe, a device or a socket."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
