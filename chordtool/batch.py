"""Many recordings to many files: each on its own, whatever happens to the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path

from chordtool.errors import ChordtoolError, FormatError, UsageError
from chordtool.files import atomic_write, ignores_case, place_of
from chordtool.formats import FormatOptions, load_format, render
from chordtool.segments import Transcription
from chordtool.transcriber import Transcriber

DONE, SKIPPED, FAILED = "done", "skipped", "failed"
_ROOM = "Choose another folder with -o, or make room in this one."


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
    beats: str | None = None
    """Name of a beat tracker, if changes go onto beats."""

    def transcriber(self) -> Transcriber:
        """What does it.

        Raises:
            ModelUnavailableError, ModelError, UsageError: the model cannot be used.
        """
        return Transcriber(
            self.model, vocabulary=self.vocabulary, top=self.options.top, beats=self.beats
        )


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
    others fail; names that differ in case only are the same on a disk that ignores it.

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
    for source in sources:
        # A folder without recordings may have no name, as "." has none; it fails when it is opened.
        name = "stdin" if str(source) == "-" else source.name or "folder"
        place = folder / (_below(source, roots) or name)
        outputs = tuple(
            (name, place.with_name(place.stem + suffix)) for name, suffix in suffixes.items()
        )
        tasks.append(Task(source, outputs))
    return _apart(tasks, folder)


def _apart(tasks: Sequence[Task], folder: Path) -> tuple[list[Task], list[Outcome]]:
    """The tasks whose files are theirs alone, and the failure of the others."""
    targets = {str(path) for task in tasks for _, path in task.outputs}
    alike = {target: target.casefold() for target in targets}
    if len(set(alike.values())) == len(alike) or not ignores_case(folder):
        alike = {target: target for target in targets}
    apart: list[Task] = []
    failed: list[Outcome] = []
    taken: dict[str, Path] = {}
    for task in tasks:
        names = [alike[str(path)] for _, path in task.outputs]
        other = next((taken[name] for name in names if name in taken), None)
        if other is None:
            taken.update(dict.fromkeys(names, task.source))
            apart.append(task)
            continue
        message = f"The results of {task.source} would have the names of those of {other}."
        failed.append(Outcome(task.source, FAILED, message=message, hint="Use another -o folder."))
    return apart, failed


def _below(source: Path, folders: Sequence[Path]) -> Path | None:
    """The place of a recording below one of the folders; ``None`` if it is in none of them."""
    for folder in folders:
        if source != folder and source.is_relative_to(folder):
            place = source.relative_to(folder)
            if ".." not in place.parts:  # ../song.mp3 begins with the name of the folder "."
                return place
    return None


def run(tasks: Sequence[Task], settings: Settings, n_jobs: int = 1) -> Iterator[Outcome]:
    """Transcribe recordings and write their files; outcomes come as they are known.

    Args:
        n_jobs: worker processes; with 1 all is done in this one.

    Raises:
        ModelUnavailableError, ModelError, UsageError: the model cannot be used at all.
    """
    wanted: list[Task] = []
    recordings = _identities(task.source for task in tasks)
    for task in tasks:
        left = _left_to_do(task, settings, recordings)
        if isinstance(left, Task):
            wanted.append(left)
        else:
            yield left
    if not wanted:
        return
    transcriber = settings.transcriber()
    # Imported here, because a single song to standard output has no use for processes.
    from chordtool.executors import ProcessExecutor, SerialExecutor

    here, elsewhere = wanted, wanted[:0]
    if n_jobs > 1 and len(wanted) > 1:
        here = [task for task in wanted if _is_of_this_process(task.source)]
        elsewhere = [task for task in wanted if not _is_of_this_process(task.source)]
    # It has shown that the model can be used; workers make their own.
    done_here = SerialExecutor().run(_Work(settings, transcriber), here)
    del transcriber
    executor = ProcessExecutor(max(1, min(n_jobs, len(elsewhere))))
    try:
        for task, result in chain(done_here, executor.run(_Work(settings, None), elsewhere)):
            yield result if isinstance(result, Outcome) else _failure(task, result)
    finally:
        executor.close()


def _is_of_this_process(source: Path) -> bool:
    """Whether a name means something else in another process, as that of a shell's ``<(...)``."""
    return source.parts[:2] in (("/", "dev"), ("/", "proc"))


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
            with atomic_write(place_of(target)) as file:
                file.write(data)
        except OSError as error:
            failure = failure or FormatError(_unwritten(target, error), hint=_ROOM)
        except ChordtoolError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def _unwritten(target: Path | str, error: OSError) -> str:
    return f"{target} cannot be written: {error.strerror or error}."


def _identities(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Files by what they are: whatever their names, a link and what it links to are the same."""
    found: set[tuple[int, int]] = set()
    for path in paths:
        with suppress(OSError):
            state = path.stat()
            found.add((state.st_dev, state.st_ino))
    return found


def _left_to_do(task: Task, settings: Settings, recordings: Set[tuple[int, int]]) -> Task | Outcome:
    """The task without the files that are to be left alone, or what becomes of it at once."""
    try:
        existing = [path for _, path in task.outputs if path.exists()]
    except OSError as error:  # a folder that keeps to itself what is in it
        return Outcome(task.source, FAILED, message=_unwritten(error.filename, error), hint=_ROOM)
    if not existing:
        return task
    special = next((path for path in existing if not path.is_file()), None)
    if special is not None:
        return Outcome(
            task.source,
            FAILED,
            message=f"{special} cannot be written: it is no file but a folder, a pipe or a device.",
            hint="Name a file with -o; - is standard output.",
        )
    if settings.existing == "skip":
        missing = tuple(output for output in task.outputs if output[1] not in existing)
        return replace(task, outputs=missing) if missing else Outcome(task.source, SKIPPED)
    if settings.existing != "overwrite":
        return Outcome(
            task.source,
            FAILED,
            message=f"{existing[0]} exists already.",
            hint="Use --skip-existing or --overwrite.",
        )
    spared = next((path for path in existing if _identities([path]) & recordings), None)
    if spared is None:
        return task
    return Outcome(
        task.source,
        FAILED,
        message=f"{spared} is one of the recordings, and would be written over.",
        hint="Choose another name or folder with -o.",
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


def _failure(task: Task, error: Exception) -> Outcome:
    from chordtool.executors import WorkerDiedError

    if isinstance(error, WorkerDiedError):
        return Outcome(task.source, FAILED, message="It crashed the decoder.")
    if isinstance(error, ChordtoolError):
        return Outcome(task.source, FAILED, message=error.message, hint=error.hint)
    raise error


class _Work:
    """What is done to each task, by a transcriber that a worker process makes once."""

    def __init__(self, settings: Settings, transcriber: Transcriber | None) -> None:
        self._settings = settings
        self._transcriber = transcriber

    def __call__(self, task: Task) -> Outcome:
        transcriber = self._transcriber or _of_this_process(self._settings)
        return _transcribe(task, self._settings, transcriber)


@lru_cache(maxsize=1)
def _of_this_process(settings: Settings) -> Transcriber:
    return settings.transcriber().beside_others()
