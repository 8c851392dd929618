"""What ``chordtool transcribe`` was asked for, and the plan that follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from chordtool.audio import find_audio
from chordtool.errors import ChordtoolError, UsageError
from chordtool.formats import FormatOptions, format_for_path, load_format, render, spare_terminal
from chordtool.hearing import UnderWay
from chordtool.transcriber import Transcriber

if TYPE_CHECKING:
    from chordtool import batch

STANDARD_INPUT = "-"
STANDARD_OUTPUT = "-"
USUAL_FORMATS = ("lab",)
FOLDER_ENDS = ("/", "\\")
"""A target that ends in one of them is a folder, there or not."""


@dataclass(frozen=True)
class Request:
    """The command line, understood but not yet checked against the disk."""

    sources: tuple[str, ...]
    output: str | None = None
    """A file, a folder, or ``None`` or ``"-"`` for standard output."""
    formats: tuple[str, ...] = ()
    """What is asked for."""
    usual_formats: tuple[str, ...] = USUAL_FORMATS
    """What the settings say; the suffix of a file has more weight, and only one goes to standard
    output."""
    model: str = "default"
    vocabulary: str | None = None
    n_jobs: int = 0
    """Worker processes; 0 is one a core."""
    existing: str = "fail"
    options: FormatOptions = field(default_factory=FormatOptions)
    beats: str | None = None
    """Name of a beat tracker, if changes go onto beats."""

    @property
    def to_stdout(self) -> bool:
        """Whether the result goes to standard output."""
        return self.output in (None, STANDARD_OUTPUT)

    @property
    def for_stdout(self) -> tuple[str, ...]:
        """The formats for standard output."""
        return self.formats or self.usual_formats[:1] or USUAL_FORMATS

    @property
    def for_folder(self) -> tuple[str, ...]:
        """The formats that go to a folder."""
        return self.formats or self.usual_formats or USUAL_FORMATS

    @property
    def settings(self) -> batch.Settings:
        """What each worker needs to know."""
        from chordtool import batch

        return batch.Settings(self.model, self.vocabulary, self.options, self.existing, self.beats)


def existing_policy(skip: bool, overwrite: bool) -> str:
    """What to do with targets that exist.

    Raises:
        UsageError: both were asked for.
    """
    if skip and overwrite:
        raise UsageError("--skip-existing and --overwrite contradict each other.")
    return "skip" if skip else "overwrite" if overwrite else "fail"


def for_stdout(request: Request) -> list[Path]:
    """The recordings of a request that go to standard output.

    Raises:
        UsageError: there are several formats, or several recordings in a format for one, or a
            terminal cannot show the format.
    """
    formats = request.for_stdout
    many = len(formats) > 1
    recordings = find_audio(request.sources)
    if many or (len(recordings) > 1 and not load_format(formats[0]).joinable):
        what = "formats" if many else "recordings"
        raise UsageError(f"Several {what} need a place to go.", hint="Name a folder with -o DIR/.")
    spare_terminal(formats[0])
    return recordings


def to_bytes(request: Request, stdin: BinaryIO, begun: UnderWay | None = None) -> bytes:
    """The one recording of a request in its one format, for standard output.

    Args:
        request: what is wanted.
        stdin: read where the source is ``-``.
        begun: the request's recording, if it is one that is being decoded already.

    Raises:
        UsageError: as :func:`for_stdout`.
        AudioError, ModelError, ModelUnavailableError, FormatError: as they happen.
    """
    (source,) = for_stdout(request)
    encoded = begun if begun is not None and begun.source == source else None
    return _document(request, _transcriber(request), source, encoded or _encoded(source, stdin))


def to_stream(
    request: Request, recordings: Sequence[Path], stdin: BinaryIO, stdout: BinaryIO
) -> Iterator[batch.Outcome]:
    """Write several recordings to standard output, each as soon as its chords are known.

    Args:
        request: what is wanted.
        recordings: what :func:`for_stdout` gives.
        stdin: read where a recording is ``-``.
        stdout: where they go.

    Yields:
        What became of each; one that fails leaves nothing in the stream.

    Raises:
        ModelError, ModelUnavailableError, UsageError: the model cannot be used at all.
    """
    from chordtool import batch

    transcriber = _transcriber(request)
    for source in recordings:
        try:
            data = _document(request, transcriber, source, _encoded(source, stdin))
        except ChordtoolError as error:
            yield batch.Outcome(source, batch.FAILED, message=error.message, hint=error.hint)
            continue
        stdout.write(data)
        stdout.flush()
        yield batch.Outcome(source, batch.DONE)


def _transcriber(request: Request) -> Transcriber:
    return Transcriber(
        request.model,
        vocabulary=request.vocabulary,
        top=request.options.top,
        beats=request.beats,
    )


def _encoded(source: Path, stdin: BinaryIO) -> Path | BinaryIO:
    return stdin if str(source) == STANDARD_INPUT else source


def _document(
    request: Request,
    transcriber: Transcriber,
    source: Path,
    encoded: Path | BinaryIO | UnderWay,
) -> bytes:
    found = transcriber.transcribe(encoded)
    return render(found, request.for_stdout[0], replace(request.options, audio=source))


def plan(request: Request) -> tuple[list[batch.Task], list[batch.Outcome]]:
    """Which recording becomes which files, and what cannot be done.

    Raises:
        UsageError: the request makes no sense.
    """
    from chordtool import batch

    assert request.output is not None, "the caller has looked at to_stdout"
    if not request.output:  # a shell's variable that is not set; as a path, it is this folder
        raise UsageError("-o names nothing.", hint="Name a file or a folder; - is standard output.")
    recordings = find_audio(request.sources)
    if len(recordings) > 1 and Path(STANDARD_INPUT) in recordings:
        raise UsageError("Standard input cannot be one of several recordings.")
    target = Path(request.output)
    if len(recordings) == 1 and _is_file_name(request.output, target, request.sources):
        name = request.formats[0] if request.formats else format_for_path(target).name
        if len(request.formats) > 1:
            raise UsageError(
                "One file cannot hold several formats.", hint="Name a folder: -o DIR/."
            )
        return [batch.Task(recordings[0], ((name, target),))], []
    if target.exists() and not target.is_dir():
        raise UsageError(
            f"{target} is a file, and the results go to a folder.",
            hint="Name a folder with -o DIR/; the name of a file ends in its format: -o song.json.",
        )
    if not target.exists() and not request.output.endswith(FOLDER_ENDS):
        _refuse_file_name(target)
    given = [Path(source) for source in request.sources]
    return batch.plan(recordings, given, target, request.for_folder)


def _is_file_name(text: str, target: Path, sources: Sequence[str]) -> bool:
    """Whether ``-o`` means a file: it has a suffix and is no folder, nor does it say so."""
    if text.endswith(FOLDER_ENDS) or target.is_dir():
        return False
    folders = (source for source in sources if source != STANDARD_INPUT and Path(source).is_dir())
    return target.suffix != "" and not any(folders)


def _refuse_file_name(folder: Path) -> None:
    """Whoever asks for ``all.lab`` means one file, and would not look for a folder."""
    try:
        named = format_for_path(folder)
    except UsageError:
        return
    raise UsageError(
        f"{folder} is the name of one file, and there may be more than one recording.",
        hint=f"Without -o, all go to standard output: --format {named.name} > {folder}."
        if named.joinable
        else "Name a folder with -o DIR/; the slash says that it is one.",
    )


def run(
    request: Request, tasks: Sequence[batch.Task], failed: Sequence[batch.Outcome]
) -> Iterator[batch.Outcome]:
    """Do what was planned; see :func:`chordtool.batch.run`."""
    from chordtool import batch
    from chordtool.executors import default_jobs

    yield from failed
    yield from batch.run(tasks, request.settings, request.n_jobs or default_jobs())
