"""Claims: who is working on which recording, among processes and machines on one folder.

A claim is a small file whose time of change its holder renews while it lives. A claim that has
not been renewed for a while, or whose holder is a process of this machine that is gone, may be
taken over. Losing a claim costs work done twice, never a wrong result: recordings are written
in one step and are the same whoever writes them.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import uuid
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Final

from chordtool.files import read_bounded
from chordtool.locking import lock

EXPIRY_SECONDS: Final = 120.0
"""A claim that was not renewed for so long is nobody's."""

_MAX_BYTES: Final = 4096
"""Of a claim; it takes a hundred."""


class Claims:
    """The claims of this process in a folder; a context manager that gives them back.

    Args:
        folder: where claims lie, the same for everybody; it must exist.
        expiry_seconds: when a claim of others counts as lost.
    """

    def __init__(self, folder: Path, expiry_seconds: float = EXPIRY_SECONDS) -> None:
        self.folder = folder
        self.expiry_seconds = expiry_seconds
        self._beat_seconds = expiry_seconds / 6
        self._me = {"host": _host(), "pid": os.getpid(), "token": uuid.uuid4().hex}
        self._held: set[str] = set()
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Claims:
        self._heart = threading.Thread(target=self._beat, name="claims", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        if self._heart is not None:
            self._heart.join()
        for key in list(self._held):
            self.release(key)

    def take(self, key: str) -> bool:
        """Claim something; false if it is claimed already, by others or by us.

        Args:
            key: letters and digits.

        Raises:
            OSError: the folder cannot be written to.
        """
        with self._guard:
            if key in self._held:
                return False
        path = self._path(key)
        with lock(self.folder / ".lock"):
            if path.exists() and not self._is_lost(path):
                return False
            try:
                path.write_text(json.dumps(self._me))
            except OSError:
                path.unlink(missing_ok=True)
                raise
        with self._guard:
            self._held.add(key)
        return True

    def release(self, key: str) -> None:
        """Give a claim back; nothing happens if it is not ours."""
        with self._guard:
            held = key in self._held
            self._held.discard(key)
        path = self._path(key)
        if not held:
            return
        with lock(self.folder / ".lock"):
            if self._holder(path).get("token") == self._me["token"]:
                path.unlink(missing_ok=True)

    def is_free(self, key: str) -> bool:
        """Whether nobody claims something, or only somebody who is gone."""
        path = self._path(key)
        return not path.exists() or self._is_lost(path)

    def others(self) -> bool:
        """Whether anybody else holds a claim in this folder."""
        with self._guard:
            ours = set(self._held)
        return any(
            path.stem not in ours and not self._is_lost(path)
            for path in self.folder.glob("*.claim")
        )

    def sweep(self) -> None:
        """Remove the claims of those who are gone."""
        with lock(self.folder / ".lock"):
            for path in self.folder.glob("*.claim"):
                if self._is_lost(path):
                    path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.claim"

    def _is_lost(self, path: Path) -> bool:
        now = self._now()
        try:
            silent = now - path.stat().st_mtime
        except FileNotFoundError:
            return True
        holder = self._holder(path)
        # A damaged claim does not say whose it is; whoever lives has renewed it twice by then.
        patience = self.expiry_seconds if holder else 2 * self._beat_seconds
        if silent > patience:
            return True
        return holder.get("host") == self._me["host"] and not _is_alive(holder.get("pid"))

    def _holder(self, path: Path) -> dict[str, object]:
        """What a claim says; nothing if it was cut short or is being written."""
        try:
            found = json.loads(read_bounded(path, _MAX_BYTES))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _now(self) -> float:
        # The clock of whoever serves the folder, which need not be ours.
        probe = self.folder / f".now-{self._me['token']}"
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return now

    def _beat(self) -> None:
        while not self._closed.wait(self._beat_seconds):
            with self._guard:
                held = list(self._held)
            for key in held:
                try:
                    os.utime(self._path(key))
                except OSError:
                    continue  # released meanwhile, or the folder is away: it may come back


@lru_cache(maxsize=1)
def _host() -> str:
    """Names a set of processes that see each other: a machine, or a container on it."""
    parts = [socket.gethostname()]
    for source in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            path = Path(source)
            parts.append(str(path.readlink()) if path.is_symlink() else path.read_text().strip())
        except OSError:
            continue
    return "/".join(parts)


def _is_alive(pid: object) -> bool:
    """Whether a process of this machine may still run; true if that cannot be told."""
    if not isinstance(pid, int) or pid <= 0 or sys.platform == "win32":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended, and only its parent does not care, as in many containers."""
    try:
        # "pid (command) state ...", and a command may hold brackets.
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return False
    return state == b"Z"
