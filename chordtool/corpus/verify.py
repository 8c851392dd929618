"""Checking every hash of a corpus, and making its manifest say what is true."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from chordtool.corpus.claims import Claims
from chordtool.corpus.folder import Corpus
from chordtool.corpus.manifest import FAILED, LABELLED, SKIPPED, Row
from chordtool.corpus.recording import Recording
from chordtool.errors import CorpusError
from chordtool.files import sha256_of
from chordtool.locking import lock

_GONE: Final = "Its labelled recording is gone."
_DAMAGED: Final = "Its labelled recording is damaged."
_CHANGED: Final = "Its audio is not what was labelled."


@dataclass
class Report:
    """What was found, and mended unless it was only to be looked at."""

    checked: int = 0
    """Labelled recordings that were read."""
    damaged: list[str] = field(default_factory=list)
    """Recordings whose file is broken or not the one that was written; to be labelled again."""
    missing: list[str] = field(default_factory=list)
    """Recordings whose file is gone; to be labelled again."""
    mended: list[str] = field(default_factory=list)
    """Sound recordings whose rows said something else; the rows were brought up to date."""
    changed_audio: list[str] = field(default_factory=list)
    """Audio files that are not what was labelled; looked at only if asked for."""
    adopted: list[str] = field(default_factory=list)
    """Recordings that the manifest did not know, by the hash of their audio."""
    leftovers: list[str] = field(default_factory=list)
    """Files that a killed run was writing."""
    broken_lines: int = 0
    """Lines of the manifest that are no rows."""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was wrong."""
        untidy = self.mended or self.adopted or self.leftovers or self.broken_lines
        return not (self.lost or untidy)

    @property
    def lost(self) -> list[str]:
        """Recordings that have to be labelled again."""
        return [*self.damaged, *self.missing, *self.changed_audio]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready document."""
        return {
            "checked": self.checked,
            "damaged": self.damaged,
            "missing": self.missing,
            "mended": self.mended,
            "changed_audio": self.changed_audio,
            "adopted": self.adopted,
            "leftovers": self.leftovers,
            "broken_lines": self.broken_lines,
            "clean": self.is_clean,
        }


def verify(
    corpus: Corpus,
    *,
    repair: bool = True,
    audio: bool = False,
    on_row: Callable[[int, int], None] | None = None,
) -> Report:
    """Check every recording of a corpus against the manifest and against itself.

    A recording that is damaged or gone becomes a failed row, so that the next run labels it
    again, and its file is removed. A sound recording that no row knows gets a row without a
    path, which the next run replaces when it meets the audio. Nothing is lost by it.

    Checking may take hours. What a run that began and ended meanwhile has written counts; with
    one that is still going on, nothing is changed.

    Args:
        corpus: what to check.
        repair: rewrite the manifest and remove what is broken.
        audio: read the audio files too, and compare their hashes.
        on_row: told how many rows of how many are done.

    Raises:
        CorpusError: a run is writing to the corpus, or the manifest cannot be read.
        OSError: the repaired manifest cannot be written.
    """
    if repair:
        _refuse_company(corpus)
    report = Report()
    rows, report.broken_lines = corpus.manifest.read()
    checked: dict[str, Row] = {}
    for k, (key, row) in enumerate(rows.items()):
        checked[key] = _checked(corpus, row, report, audio=audio)
        if on_row is not None:
            on_row(k + 1, len(rows))
    # Recordings of what is skipped now, or whose audio is another one, are nobody's loss.
    known = {
        row.audio_sha256
        for row in checked.values()
        if row.status in (LABELLED, SKIPPED) or row.error == _CHANGED
    }
    for row in _orphans(corpus, known, report):
        checked[row.key] = row
    report.leftovers = [str(p) for p in corpus.unfinished()]
    if repair and not report.is_clean:
        _repair(corpus, rows, checked, report)
    return report


def _refuse_company(corpus: Corpus) -> None:
    corpus.refuse_company("A run is labelling this corpus.", hint="Wait for it, or use --check.")


def _checked(corpus: Corpus, row: Row, report: Report, *, audio: bool) -> Row:
    if row.status != LABELLED:
        return row
    name = row.path or row.audio_sha256
    path = corpus.recording_path(row.audio_sha256)
    report.checked += 1
    try:
        digest = sha256_of(path)
    except OSError:
        report.missing.append(name)
        return replace(row, status=FAILED, error=_GONE)
    # Of another hash it may be sound: a run that was killed may have labelled it anew and not
    # written its row. And a row can be damaged, too, and still name the right hash.
    as_written = digest == row.recording_sha256
    found = _described(corpus, path, digest) if as_written else _adopt(corpus, path)
    if found is None:
        report.damaged.append(name)
        return replace(row, status=FAILED, error=_DAMAGED)
    found = replace(found, path=row.path, bytes=row.bytes, mtime_ns=row.mtime_ns)
    if found != row:
        report.mended.append(name)
        row = found
    if audio and row.path is not None and not _has_hash(Path(row.path), row.audio_sha256):
        report.changed_audio.append(name)
        return replace(row, status=FAILED, error=_CHANGED)
    return row


def _has_hash(path: Path, digest: str) -> bool:
    try:
        return sha256_of(path) == digest
    except OSError:
        return True  # audio that is away is no reason to label it again


def _orphans(corpus: Corpus, known: set[str], report: Report) -> Iterator[Row]:
    for path in sorted(corpus.path.glob("recordings/*/*.safetensors")):
        if path.stem in known:
            continue
        row = _adopt(corpus, path)
        if row is not None:
            report.adopted.append(row.audio_sha256)
            yield row


def _adopt(corpus: Corpus, path: Path) -> Row | None:
    """A row for a recording as it says of itself, or nothing if it is broken."""
    try:
        intact = Recording(path).is_intact()
        return _described(corpus, path, sha256_of(path)) if intact else None
    except (CorpusError, OSError):
        return None


def _described(corpus: Corpus, path: Path, digest: str) -> Row | None:
    """The row of a recording, by its header, or nothing if it has none or belongs elsewhere."""
    try:
        recording = Recording(path)
        size = path.stat().st_size
    except (CorpusError, OSError):
        return None
    metadata = recording.metadata
    if corpus.recording_path(metadata.audio_sha256) != path:
        return None
    return Row(
        path=None,
        status=LABELLED,
        audio_sha256=metadata.audio_sha256,
        seconds=metadata.seconds,
        frames=recording.frames,
        teachers=metadata.teachers,
        front_end=metadata.front_end.fingerprint,
        labels_fingerprint=metadata.labels_fingerprint,
        recording_sha256=digest,
        recording_bytes=size,
        statistics=metadata.statistics,
    )


def _repair(corpus: Corpus, found: dict[str, Row], checked: dict[str, Row], report: Report) -> None:
    """Write down what was checked, but for what a run has written since it was found."""
    corpus.claims_folder.mkdir(exist_ok=True)
    # Asked after the leftovers were listed: whoever was writing one of them is gone by now.
    _refuse_company(corpus)
    _remove_damaged(corpus, checked.values())
    with lock(corpus.manifest.lock_path):
        for leftover in report.leftovers:
            Path(leftover).unlink(missing_ok=True)
        rows, _ = corpus.manifest.read()
        for key, row in checked.items():
            if rows.get(key) == found.get(key):
                rows[key] = _looked_at_again(corpus, found[key], row) if key in found else row
        corpus.manifest.rewrite(rows.values())
    corpus.manifest.compact()


def _remove_damaged(corpus: Corpus, rows: Iterable[Row]) -> None:
    """Remove broken recordings, and none that was made anew since it was looked at."""
    with Claims(corpus.claims_folder) as claims:
        for digest in {row.audio_sha256 for row in rows if row.error == _DAMAGED}:
            if not claims.take(digest):
                continue  # somebody is making it anew
            path = corpus.recording_path(digest)
            if _adopt(corpus, path) is None:
                path.unlink(missing_ok=True)
            claims.release(digest)


def _looked_at_again(corpus: Corpus, found: Row, checked: Row) -> Row:
    """The row as checked, unless its recording was lost and is there by now.

    The row that a run has written then is no other than before: the same audio gives the same.
    """
    if checked.error not in (_GONE, _DAMAGED):
        return checked
    again = _checked(corpus, found, Report(), audio=False)
    return again if again.status == LABELLED else checked
