"""Many recordings to many files: each on its own, whatever happens to the others."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from chordtool.errors import ChordtoolError, FormatError, UsageError
from chordtool.files import atomic_write
from chordtool.formats import FormatOptions, load_format, render
from chordtool.segments import Transcription
from chordtool.transcriber import Transcriber

DONE, SKIPPED, FAILED = "done", "skipped", "failed"


@dataclass(frozen=True)
class Task:
    """A recording and the files that it becomes."""

    source: Path
    outputs: tuple[tuple[str, Path], ...]
    """Format name and target of each."""


@dataclass(frozen=True)
class Settings:
    """How a batch is transcribed; picklable, the same for every recording."""

    model: str = "default"
    vocabulary: str | None = None
    options: FormatOptions = field(default_factory=FormatOptions)
    existing: str = "fail"
    """What to do where a target exists: ``"fail"``, ``"skip"`` or ``"overwrite"``."""


@dataclass(frozen=True)
class Outcome:
    """What became of a recording."""

    source: Path
    status: str
    """``"done"``, ``"skipped"`` or ``"failed"``."""
    seconds: float = 0.0
    """Length of the recording if it was transcribed."""
    message: str = ""
    hint: str = ""


def plan(
    sources: Sequence[Path], given: Sequence[Path], folder: Path, formats: Sequence[str]
) -> tuple[list[Task], list[Outcome]]:
    """Name the outputs of each recording in a folder.

    A recording found below a given folder keeps its place below it; any other is named by its
    stem alone. Where two recordings would become the same file, the first one has it and the
    others fail.

    Args:
        sources: the recordings.
        given: the paths on the command line that they came from.
        folder: where the results go.
        formats: names of formats.

    Raises:
        UsageError: a format is unknown, or two formats write the same file names.
    """
    suffixes = {name: load_format(name).suffixes[0] for name in formats}
    if len(set(suffixes.values())) < len(suffixes):
        raise UsageError("Two of the formats write files of the same name.")
    roots = [path for path in given if path.is_dir()]
    tasks: list[Task] = []
    failed: list[Outcome] = []
    taken: dict[Path, Path] = {}
    for source in sources:
        below = next((source.relative_to(r) for r in roots if source.is_relative_to(r)), None)
        name = "stdin" if str(source) == "-" else source.name
        place = folder / (below or Path(name))
        outputs = tuple(
            (name, place.with_name(place.stem + suffix)) for name, suffix in suffixes.items()
        )
        other = next((taken[path] for _, path in outputs if path in taken), None)
        if other is not None:
            message = f"Its results would have the names of those of {other}."
            failed.append(Outcome(source, FAILED, message=message, hint="Use another -o folder."))
            continue
        taken.update({path: source for _, path in outputs})
        tasks.append(Task(source, outputs))
    return tasks, failed


def run(tasks: Sequence[Task], settings: Settings, n_jobs: int = 1) -> Iterator[Outcome]:
    """Transcribe recordings and write their files; outcomes come as they are known.

    Args:
        n_jobs: worker processes; with 1 all is done in this one.

    Raises:
        ModelUnavailableError, ModelError, UsageError: the model cannot be used at all.
    """
    wanted: list[Task] = []
    for task in tasks:
        early = _without_work(task, settings)
        if early is None:
            wanted.append(task)
        else:
            yield early
    if not wanted:
        return
    transcriber = Transcriber(
        settings.model, vocabulary=settings.vocabulary, top=settings.options.top
    )
    if n_jobs == 1 or len(wanted) == 1:
        for task in wanted:
            yield _transcribe(task, settings, transcriber)
    else:
        del transcriber  # it has shown that the model can be used
        yield from _run_in_processes(wanted, settings, min(n_jobs, len(wanted)))


def write_files(found: Transcription, task: Task, options: FormatOptions) -> None:
    """Write a transcription in each of a task's formats.

    Every format is tried; a failure in one leaves the others unharmed.

    Raises:
        ChordtoolError: the first failure, after the others were written.
    """
    failure: ChordtoolError | None = None
    for name, target in task.outputs:
        try:
            data = render(found, name, replace(options, audio=task.source, target=target))
            target.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(target) as file:
                file.write(data)
        except OSError as error:
            failure = failure or FormatError(
                f"{target} cannot be written: {error.strerror or error}.",
                hint="Choose another folder with -o, or make room in this one.",
            )
        except ChordtoolError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _without_work(task: Task, settings: Settings) -> Outcome | None:
    existing = [path for _, path in task.outputs if path.exists()]
    if not existing or settings.existing == "overwrite":
        return None
    if settings.existing == "skip":
        return Outcome(task.source, SKIPPED) if len(existing) == len(task.outputs) else None
    return Outcome(
        task.source,
        FAILED,
        message=f"{existing[0]} exists already.",
        hint="Use --skip-existing or --overwrite.",
    )


def _transcribe(task: Task, settings: Settings, transcriber: Transcriber) -> Outcome:
    try:
        stdin = str(task.source) == "-"
        found = transcriber.transcribe(sys.stdin.buffer if stdin else task.source)
        write_files(found, task, settings.options)
    except ChordtoolError as error:
        return Outcome(task.source, FAILED, message=error.message, hint=error.hint)
    except MemoryError:
        return Outcome(
            task.source, FAILED, message="There is not enough memory.", hint="Use fewer --jobs."
        )
    return Outcome(task.source, DONE, seconds=found.seconds)


_worker: tuple[Settings, Transcriber] | None = None


def _start_worker(settings: Settings) -> None:
    global _worker
    transcriber = Transcriber(
        settings.model, vocabulary=settings.vocabulary, top=settings.options.top
    )
    _worker = settings, transcriber


def _work(task: Task) -> Outcome:
    assert _worker is not None, "the pool starts its workers with _start_worker"
    return _transcribe(task, *_worker)


def _run_in_processes(tasks: list[Task], settings: Settings, n_jobs: int) -> Iterator[Outcome]:
    """Feed a pool; if a recording takes its worker down, go on without it.

    A pool that lost a worker is lost as a whole. What was in the works is then tried again, one
    by one in a pool of its own, so that only the culprit fails.
    """
    waiting = list(reversed(tasks))
    suspects: list[Task] = []
    while waiting or suspects:
        alone = bool(suspects)
        source, width = (suspects, 1) if alone else (waiting, n_jobs)
        running: dict[Future[Outcome], Task] = {}
        pool = ProcessPoolExecutor(
            width, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(settings,)
        )
        try:
            while (source and not (alone and running)) or running:
                while source and len(running) < width:
                    task = source.pop()
                    running[pool.submit(_work, task)] = task
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    del running[future]
                    yield outcome
        except BrokenProcessPool:
            if alone:
                (culprit,) = running.values()
                yield Outcome(culprit.source, FAILED, message="It crashed the decoder.")
            else:
                suspects.extend(running.values())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def default_jobs() -> int:
    """Worker processes that suit this machine: one for each core that we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
