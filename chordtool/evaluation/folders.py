"""From folders to a comparison: labels, and for each system its estimates or its model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from chordtool.errors import ChordtoolError, UsageError
from chordtool.evaluation.bootstrap import Bootstrap
from chordtool.evaluation.comparing import Comparison, compare
from chordtool.evaluation.files import (
    Failure,
    References,
    label_files,
    match_audio,
    read_estimates,
    read_references,
)
from chordtool.evaluation.held_out import read_held_out
from chordtool.evaluation.scores import Scores, evaluate
from chordtool.evaluation.transcribing import hear
from chordtool.matching import Matches
from chordtool.models import load_model
from chordtool.segments import Segment

Tell = Callable[[str, int, int], None]
"""Called with a system's name, recordings done, recordings in all."""


@dataclass(frozen=True)
class Request:
    """What to evaluate on what."""

    labels: Path
    """Folder of the ground truth."""
    models: tuple[str, ...] = ()
    """Names, or paths of ``.onnx`` files."""
    estimates: tuple[Path, ...] = ()
    """Folders of chord files."""
    audio: Path | None = None
    """Where the recordings are; beside the labels if ``None``."""
    split: Path | None = None
    """A run, or its ``split.json``, whose test songs alone are scored; all songs if ``None``."""
    vocabulary: str | None = None
    """Of the models; their own if ``None``."""
    n_jobs: int = 1
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


@dataclass(frozen=True)
class Evaluation:
    """What came out, and what did not take part."""

    comparison: Comparison
    failures: tuple[Failure, ...]
    """Labels, recordings and estimates that could not be used."""
    without_partner: dict[str, tuple[Path, ...]]
    """By system: label files that it has no recording or estimate for."""
    unused: dict[str, tuple[Path, ...]]
    """By system: recordings or estimates that there are no labels for."""
    not_labelled: tuple[str, ...] = ()
    """Songs that the run of ``split`` put aside, and that the folder has no label files of."""


def evaluate_folders(request: Request, tell: Tell | None = None) -> Evaluation:
    """Evaluate systems on a folder of labels, on the songs that all of them have.

    Raises:
        UsageError: nothing was asked for, or nothing belongs together.
        ModelUnavailableError, ModelError: a model cannot be used at all.
    """
    if not request.models and not request.estimates:
        raise UsageError(
            "There is nothing to evaluate.", hint="Name a --model, or a folder of --estimates."
        )
    paths, not_labelled = _labelled(request)
    references = read_references(request.labels, paths)
    _require_systems(request)
    run = _Run(request, references, tell or (lambda name, done, total: None))
    for model in request.models:
        run.add_model(model)
    for folder in request.estimates:
        run.add_estimates(folder)
    return Evaluation(
        compare(run.systems),
        (*references.failures, *run.failures),
        {name: matches.alone for name, matches in run.matches.items() if matches.alone},
        # With a split, what is left out was asked to be.
        {name: m.unused for name, m in run.matches.items() if m.unused and request.split is None},
        not_labelled,
    )


def _labelled(request: Request) -> tuple[list[Path], tuple[str, ...]]:
    """The label files that count, and the songs of the split that have none."""
    paths = label_files(request.labels)
    if request.split is None:
        return paths, ()
    held_out = read_held_out(request.split)
    if not (found := held_out.of(paths)):
        raise UsageError(
            f"{request.labels} has none of the songs that were put aside for testing.",
            hint="Give the --labels that the run had, and its folder as --split.",
        )
    return found, held_out.absent(paths)


def _require_systems(request: Request) -> None:
    """Look whether all systems are there, before the first of them listens for an hour."""
    for folder in request.estimates:
        label_files(folder)
    if len(request.models) > 1:
        for model in request.models:
            load_model(model)


class _Run:
    def __init__(self, request: Request, references: References, tell: Tell) -> None:
        self.systems: dict[str, Scores] = {}
        self.matches: dict[str, Matches] = {}
        self.failures: list[Failure] = []
        self._request = request
        self._references = references
        self._tell = tell

    def add_model(self, model: str) -> None:
        request, references = self._request, self._references
        matches = match_audio(references, request.audio)
        name = self._new_name(Path(model).stem if model.endswith(".onnx") else model)
        songs: dict[Path, list[str]] = {}
        for file, recording in matches.pairs:
            songs.setdefault(recording, []).append(references.name_of(file))
        heard = hear(model, list(songs), vocabulary=request.vocabulary, n_jobs=request.n_jobs)
        estimates: dict[str, tuple[Segment, ...]] = {}
        self._tell(name, 0, len(songs))
        for done, (recording, found) in enumerate(heard, 1):
            if isinstance(found, ChordtoolError):
                self.failures.append(Failure.of(recording, found))
            else:
                estimates.update(dict.fromkeys(songs[recording], found))
            self._tell(name, done, len(songs))
        self._add(name, estimates, matches)

    def add_estimates(self, folder: Path) -> None:
        estimates, matches, failures = read_estimates(self._references, folder)
        self.failures += failures
        self._add(self._new_name(folder.resolve().name), estimates, matches)

    def _add(self, name: str, estimates: dict[str, tuple[Segment, ...]], matches: Matches) -> None:
        if not estimates:
            why = f": {self.failures[-1].message}" if self.failures else "."
            raise UsageError(
                f"{name} has chords for none of the labelled songs{why}",
                hint="They belong together by name: song.lab and song.mp3.",
            )
        self.matches[name] = matches
        self.systems[name] = evaluate(
            self._references.segments, estimates, bootstrap=self._request.bootstrap
        )

    def _new_name(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.systems:
            name, number = f"{wanted} ({number})", number + 1
        return name
