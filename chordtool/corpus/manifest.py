"""The manifest: one JSON line for each recording that was met, whatever became of it.

Several processes may append to one manifest. A line that a crash cut short is dropped by the
next writer and ignored by readers; when a path has several lines, the last one counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any, Final

from chordtool.corpus.recording import is_sha256
from chordtool.errors import CorpusError
from chordtool.files import atomic_write, require_regular
from chordtool.locking import lock

LABELLED: Final = "labelled"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"
_LONGEST_LINE: Final = 1 << 22
"""Bytes. A row takes a few thousand; a path may have some thousand characters more."""
_MOST: Final = 1 << 63
STATUSES: Final = (LABELLED, SKIPPED, FAILED)


@dataclass(frozen=True)
class Row:
    """What the manifest says about one recording."""

    path: str | None
    """Absolute path of the audio; ``None`` if only its labels are known."""
    status: str
    """``"labelled"``, ``"skipped"`` (too short or too long) or ``"failed"``."""
    bytes: int = 0
    """Size of the audio file."""
    mtime_ns: int = 0
    """When the audio file was last changed, nanoseconds since 1970."""
    audio_sha256: str = ""
    """sha256 of the audio file's bytes; empty if it could not be read."""
    seconds: float = 0.0
    """Length of the audio; 0 if it could not be decoded."""
    frames: int = 0
    teachers: tuple[dict[str, Any], ...] = ()
    """``name``, ``sha256`` and ``weight`` of each teacher."""
    front_end: str = ""
    """Fingerprint of the stored features' front end."""
    labels_fingerprint: str = ""
    """Tells labels of different teachers, weights or frames apart."""
    recording_sha256: str = ""
    """sha256 of the labelled recording's file."""
    recording_bytes: int = 0
    """Size of the labelled recording's file."""
    statistics: dict[str, Any] = field(default_factory=dict)
    """:func:`chordtool.corpus.statistics.describe`."""
    error: str = ""
    """Why it was skipped or failed, one sentence."""

    @property
    def key(self) -> str:
        """What makes a row replace an earlier one."""
        return self.path if self.path is not None else f"\0{self.audio_sha256}"

    @property
    def music(self) -> bool:
        """Whether the recording seems to hold music."""
        return bool(self.statistics.get("content", "music") == "music")

    @property
    def agreement(self) -> float | None:
        """Share of frames on which the teachers agree, 0..1; ``None`` with one teacher."""
        value = self.statistics.get("agreement")
        return float(value) if isinstance(value, int | float) else None

    def to_json(self) -> str:
        """Canonical JSON on one line, ASCII only whatever the path holds."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Read one line.

        Raises:
            CorpusError: the line is no row.
        """
        try:
            document = json.loads(line)
            values = {f.name: document[f.name] for f in fields(cls) if f.name in document}
            values["teachers"] = tuple(dict(t) for t in values.get("teachers", ()))
            row = cls(**values)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise CorpusError("A line of the manifest is no row.") from None
        if not row._is_sound():
            raise CorpusError("A line of the manifest is no row.")
        return row

    def _is_sound(self) -> bool:
        if not isinstance(self.seconds, int | float) or isinstance(self.seconds, bool):
            return False
        texts = [self.audio_sha256, self.front_end, self.labels_fingerprint]
        texts += [self.recording_sha256, self.error]
        numbers = (self.bytes, self.mtime_ns, self.frames, self.recording_bytes)
        return (
            (self.path is None or isinstance(self.path, str))
            and self.status in STATUSES
            and all(isinstance(t, str) for t in texts)
            and all(isinstance(n, int) and not isinstance(n, bool) for n in numbers)
            and all(abs(n) < _MOST for n in (*numbers, self.seconds))
            and isinstance(self.statistics, dict)
            and (self.audio_sha256 == "" or is_sha256(self.audio_sha256))
            and (self.status != LABELLED or is_sha256(self.audio_sha256))
        )


class Manifest:
    """The manifest's file."""

    def __init__(self, path: Path, lock_path: Path) -> None:
        self.path = path
        self.lock_path = lock_path

    def read(self) -> tuple[dict[str, Row], int]:
        """The rows that count, by :attr:`Row.key`, and the number of lines that are no rows.

        Raises:
            CorpusError: the file cannot be read.
        """
        rows: dict[str, Row] = {}
        broken = 0
        try:
            require_regular(self.path)
            with self.path.open("rb") as file:
                for line in _lines(file):
                    try:
                        row = Row.from_json(line.decode("ascii"))
                    except (CorpusError, UnicodeDecodeError):
                        broken += 1
                        continue
                    rows[row.key] = row
        except FileNotFoundError:
            return {}, 0
        except OSError as error:
            raise CorpusError(f"{self.path} cannot be read: {error.strerror}.") from None
        return rows, broken

    def append(self, row: Row) -> None:
        """Add a row.

        Raises:
            OSError: the disk is full; the manifest is as it was before.
        """
        line = row.to_json().encode("ascii") + b"\n"
        with lock(self.lock_path), self.path.open("ab+") as file:
            end = _whole_lines(file)
            file.truncate(end)
            try:
                file.write(line)
                file.flush()
            except OSError:
                file.truncate(end)
                raise

    def rewrite(self, rows: Iterable[Row]) -> None:
        """Replace all rows, sorted; the caller holds the lock.

        Raises:
            OSError: the disk is full; the manifest is as it was before.
        """
        with atomic_write(self.path) as file:
            for row in sorted(rows, key=lambda row: row.key):
                file.write(row.to_json().encode("ascii") + b"\n")

    def compact(self) -> dict[str, Row]:
        """Drop the lines that no longer count, and rows without a path that have one by now.

        Labels whose audio fails under its path are nobody else's, and stay.

        Returns:
            The rows that are left, by key.

        Raises:
            OSError: the disk is full; the manifest is as it was before.
        """
        with lock(self.lock_path):
            rows, _ = self.read()
            known = {
                row.audio_sha256
                for row in rows.values()
                if row.path is not None and row.status != FAILED
            }
            rows = {
                key: row
                for key, row in rows.items()
                if row.path is not None or row.audio_sha256 not in known
            }
            self.rewrite(rows.values())
        return rows


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """The complete lines of a file; of one that is too long to be a row, an empty one."""
    while line := file.readline(_LONGEST_LINE):
        too_long = len(line) == _LONGEST_LINE
        while line and not line.endswith(b"\n"):
            if not too_long:
                return  # being written, or cut short by a crash
            line = file.readline(_LONGEST_LINE)
        if line:
            yield b"" if too_long else line


def _whole_lines(file: Any) -> int:
    """Where the last complete line of a file ends."""
    end = file.seek(0, 2)
    position: int = end
    while position > 0:
        step = min(4096, position)
        file.seek(position - step)
        block = file.read(step)
        found = block.rfind(b"\n")
        if found >= 0:
            return int(position - step + found + 1)
        position -= step
    return 0
