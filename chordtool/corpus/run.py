"""A run: everything that is to be labelled becomes a row of the manifest, once.

The run hands recordings to an executor, claims what it works on, and writes down what became of
it. It may be killed at any moment: a recording is there in whole or not at all, what is there
is found again, and what is not is done by the next run.
"""

from __future__ import annotations

import functools
import math
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chordtool.audio import Limits
from chordtool.corpus.claims import EXPIRY_SECONDS, Claims
from chordtool.corpus.folder import Corpus
from chordtool.corpus.labelling import (
    CorpusWriteError,
    Job,
    Outcome,
    label_recording,
)
from chordtool.corpus.manifest import FAILED, LABELLED, SKIPPED, Row
from chordtool.corpus.recipe import Recipe
from chordtool.corpus.statistics import Totals, total
from chordtool.errors import ChordtoolError, ModelUnavailableError
from chordtool.executors import Executor
from chordtool.files import sha256_of

_POLL_SECONDS: Final = 0.5
_LARGEST_FILE: Final = Limits().decoded_bytes
"""Bytes. No recording takes more encoded than it may take decoded."""


@dataclass(frozen=True)
class Bounds:
    """Which recordings are labelled."""

    min_seconds: float = 0.0
    """Shorter ones are skipped."""
    max_seconds: float = math.inf
    """Longer ones are skipped."""

    def include(self, seconds: float) -> bool:
        """Whether a recording of this length is labelled."""
        return self.min_seconds <= seconds <= self.max_seconds


@dataclass(frozen=True)
class Plan:
    """What a run has to do."""

    todo: list[str]
    """Paths that must be looked at."""
    done: dict[str, Row]
    """Rows that stand: labelled with the same recipe, or skipped, and not changed since."""


@dataclass
class Summary:
    """What a run did."""

    rows: dict[str, Row] = field(default_factory=dict)
    """What became of each of the run's recordings, by path."""
    unchanged: int = 0
    """Recordings that were done before the run, or by another run meanwhile."""
    reused: int = 0
    """Recordings whose labels were found in the corpus: duplicates, and files that were moved."""
    labelled_seconds: float = 0.0
    """Audio that was labelled in this run."""
    elapsed_seconds: float = 0.0
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Folders that could not be listed, and why."""

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Paths that could not be labelled, and why."""
        failed = [(p, row.error) for p, row in self.rows.items() if row.status == FAILED]
        return [*self.problems, *failed]

    def count(self, status: str) -> int:
        """How many of the run's recordings have a status."""
        return sum(row.status == status for row in self.rows.values())

    def totals(self) -> Totals:
        """Statistics of the run's labelled recordings, each distinct audio once."""
        distinct = {r.audio_sha256: r for r in self.rows.values() if r.status == LABELLED}
        return total(distinct[key] for key in sorted(distinct))


OnRow = Callable[[str, Row], None]
"""Called with the path of a recording and its row when it is done."""


def plan(corpus: Corpus, paths: Iterable[str], bounds: Bounds = Bounds()) -> Plan:
    """Sort out what is done already, by size and time of change of the files.

    Raises:
        CorpusError: the manifest cannot be read.
    """
    rows, _ = corpus.manifest.read()
    todo: list[str] = []
    done: dict[str, Row] = {}
    for path in paths:
        row = rows.get(path)
        if row is not None and _stands(corpus, row, path, bounds):
            done[path] = row
        else:
            todo.append(path)
    return Plan(todo, done)


def label_corpus(
    corpus: Corpus,
    recipe: Recipe,
    planned: Plan,
    executor: Executor,
    *,
    bounds: Bounds = Bounds(),
    on_row: OnRow | None = None,
    expiry_seconds: float = EXPIRY_SECONDS,
) -> Summary:
    """Label what a plan says is to do.

    Args:
        corpus: made with ``recipe``.
        recipe: how recordings are labelled.
        planned: from :func:`plan`.
        executor: where they are labelled.
        bounds: which recordings are labelled.
        on_row: told about each recording that is done.
        expiry_seconds: when the claims of other runs count as lost.

    Raises:
        CorpusWriteError: the disk is full, or the folder cannot be written to.
        ModelUnavailableError: a worker has no such teacher.
    """
    begun = time.monotonic()
    summary = Summary(rows=dict(planned.done), unchanged=len(planned.done))
    try:
        with Claims(corpus.claims_folder, expiry_seconds) as claims:
            _tidy(corpus, claims)
            run = _Run(corpus, recipe, bounds, claims, summary, on_row)
            run.work(planned.todo, executor)
            corpus.manifest.compact()
            run.drop_replaced()
            _tidy(corpus, claims)
    except OSError as error:
        raise CorpusWriteError.because(error) from None
    summary.elapsed_seconds = time.monotonic() - begun
    return summary


@dataclass(frozen=True)
class _File:
    """An audio file as it was when it was looked at."""

    size: int
    mtime_ns: int
    sha256: str


class _Run:
    def __init__(
        self,
        corpus: Corpus,
        recipe: Recipe,
        bounds: Bounds,
        claims: Claims,
        summary: Summary,
        on_row: OnRow | None,
    ) -> None:
        self._corpus = corpus
        self._bounds = bounds
        self._claims = claims
        self._summary = summary
        self._on_row = on_row
        self._function = functools.partial(label_recording, recipe, str(corpus.path))
        self._recipe = recipe
        rows, _ = corpus.manifest.read()
        self._labelled = {row.path for row in rows.values() if row.status == LABELLED}
        self._earlier = {row.path: row.audio_sha256 for row in rows.values()}
        self._replaced: set[str] = set()
        self._files: dict[str, _File] = {}
        self._deferred: dict[str, str] = {}

    def work(self, paths: Sequence[str], executor: Executor) -> None:
        """Label the paths; those that others are working on are looked at again in the end."""
        while paths:
            self._deferred = {}
            for job, result in executor.run(self._function, self._jobs(paths)):
                self._finish(job, result)
            paths = self._wait_for_others()

    def drop_replaced(self) -> None:
        """Remove the recordings of audio that was changed, where nobody has that audio any more."""
        # With the claims in hand, nobody else can be about to write a row for one of them.
        ours = [key for key in sorted(self._replaced) if self._claims.take(key)]
        rows, _ = self._corpus.manifest.read() if ours else ({}, 0)
        known = {row.audio_sha256 for row in rows.values()}
        for key in ours:
            if key not in known:
                self._corpus.recording_path(key).unlink(missing_ok=True)
            self._claims.release(key)

    def _jobs(self, paths: Iterable[str]) -> Iterator[Job]:
        for path in paths:
            try:
                file = _look_at(path)
            except OSError as error:
                self._write(path, Row(path, FAILED, error=_reason(error)))
                continue
            if not self._claims.take(file.sha256):
                self._deferred[path] = file.sha256
                continue
            self._files[path] = file
            bounds = self._bounds
            yield Job(path, file.sha256, bounds.min_seconds, bounds.max_seconds)

    def _finish(self, job: Job, result: Outcome | Exception) -> None:
        if isinstance(result, CorpusWriteError | ModelUnavailableError):
            raise result
        if isinstance(result, ChordtoolError):
            result = Outcome(FAILED, error=result.message)
        elif isinstance(result, Exception):
            first = (str(result).splitlines() or [""])[0]
            result = Outcome(FAILED, error=f"Unexpected {type(result).__name__}: {first}")
        file = self._files.pop(job.path)
        self._write(job.path, self._row(job.path, file, result))
        self._claims.release(file.sha256)
        self._summary.reused += result.reused
        if result.status == LABELLED and not result.reused:
            self._summary.labelled_seconds += result.seconds

    def _row(self, path: str, file: _File, outcome: Outcome) -> Row:
        labelled = outcome.status == LABELLED
        return Row(
            path=path,
            status=outcome.status,
            bytes=file.size,
            mtime_ns=file.mtime_ns,
            audio_sha256=file.sha256,
            seconds=outcome.seconds,
            frames=outcome.frames,
            teachers=self._corpus.description.teachers if labelled else (),
            front_end=self._recipe.front_end.fingerprint if labelled else "",
            labels_fingerprint=self._recipe.labels_fingerprint if labelled else "",
            recording_sha256=outcome.recording_sha256,
            recording_bytes=outcome.recording_bytes,
            statistics=outcome.statistics,
            error=outcome.error,
        )

    def _write(self, path: str, row: Row) -> None:
        is_away = row.status == FAILED and not row.audio_sha256
        # What is labelled stays so while its audio is away.
        if not (is_away and path in self._labelled):
            self._corpus.manifest.append(row)
        earlier = self._earlier.get(path)
        if earlier and row.status == LABELLED and row.audio_sha256 != earlier:
            self._replaced.add(earlier)
        self._summary.rows[path] = row
        if self._on_row is not None:
            self._on_row(path, row)

    def _wait_for_others(self) -> list[str]:
        """The deferred paths that still need work, once the first of them is free."""
        while self._deferred:
            free = [path for path, key in self._deferred.items() if self._claims.is_free(key)]
            if not free:
                time.sleep(_POLL_SECONDS)
                continue
            waiting = [path for path in self._deferred if path not in set(free)]
            planned = plan(self._corpus, free, self._bounds)
            for path, row in planned.done.items():
                self._summary.rows[path] = row
                self._summary.unchanged += 1
                if self._on_row is not None:
                    self._on_row(path, row)
            if planned.todo:
                return [*planned.todo, *waiting]
            self._deferred = {path: self._deferred[path] for path in waiting}
        return []


def _tidy(corpus: Corpus, claims: Claims) -> None:
    """Remove what killed runs and workers left behind, unless somebody may still be writing."""
    claims.sweep()
    if not claims.others():
        for part in corpus.unfinished():
            part.unlink(missing_ok=True)


class _UnfitError(OSError):
    """A file that is not even hashed, and why."""


def _look_at(path: str) -> _File:
    """Hash a file.

    Raises:
        OSError: it cannot be read, is no file or too large, or changes all the time.
    """
    for _ in range(2):
        before = os.stat(path)  # noqa: PTH116 - Path drops what a name cannot hold
        if not stat.S_ISREG(before.st_mode):
            raise _UnfitError("It is no file but a folder, a pipe or a device.")
        if before.st_size > _LARGEST_FILE:
            raise _UnfitError(f"It is larger than {_LARGEST_FILE >> 30} GiB.")
        digest = sha256_of(Path(path))
        after = os.stat(path)  # noqa: PTH116
        if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
            return _File(after.st_size, after.st_mtime_ns, digest)
    raise _UnfitError("The file was changed while it was being read.")


def _reason(error: OSError) -> str:
    if isinstance(error, _UnfitError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return "It does not exist, or not any more."
    return f"It cannot be read: {error.strerror or error}."


def _stands(corpus: Corpus, row: Row, path: str, bounds: Bounds) -> bool:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    if (status.st_size, status.st_mtime_ns) != (row.bytes, row.mtime_ns):
        return False
    if row.status == SKIPPED:
        return not bounds.include(row.seconds)
    if not corpus.is_current(row) or not bounds.include(row.seconds):
        return False
    try:
        return corpus.recording_path(row.audio_sha256).stat().st_size == row.recording_bytes
    except OSError:
        return False
