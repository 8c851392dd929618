"""The folder of a run, and what both stages do once they know their recordings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from chordtool.errors import ModelError, TrainingError, UsageError
from chordtool.evaluation import METRICS
from chordtool.files import PART_PATTERN, atomic_write
from chordtool.frontend import FrontEnd
from chordtool.locking import try_lock
from chordtool.matching import song_names
from chordtool.models.card import ModelCard
from chordtool.models.students import ARCHITECTURES, build
from chordtool.models.windows import DEFAULT_FRAMES, Windows
from chordtool.training import checkpoint
from chordtool.training.config import TrainConfig
from chordtool.training.config_file import CONFIG
from chordtool.training.data import Segments, Source, feature_statistics, has_label
from chordtool.training.devices import Place
from chordtool.training.judge import judge
from chordtool.training.loop import Trainer
from chordtool.training.progress import Listener
from chordtool.training.report import write_report
from chordtool.training.split import SPLIT, Split, read_split, split_songs
from chordtool.training.state import TIME, Outcome
from chordtool.vocabulary import N_CLASSES

REPORT: Final = "report.html"
LOCK: Final = ".lock"
_OURS: Final = (
    checkpoint.STATE, checkpoint.BEST, checkpoint.LAST, CONFIG, SPLIT, "metrics.csv", REPORT,
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """What a run starts from."""

    card: ModelCard
    """Architecture and front end; with mean and deviation if there are weights."""
    weights: dict[str, Tensor] | None = None
    """``None``: random ones."""
    parent: str = ""
    """The student that the weights are from."""


def fresh(architecture: str) -> Start:
    """Random weights of an architecture, with the students' front end.

    Raises:
        UsageError: there is no such architecture.
    """
    if architecture not in ARCHITECTURES:
        raise UsageError(
            f"There is no student architecture {architecture!r}.",
            hint="Known ones: " + ", ".join(ARCHITECTURES) + ".",
        )
    return Start(ModelCard("", architecture, FrontEnd()))


def check_settings(config: TrainConfig) -> None:
    """Refuse what would be refused anyway after hours of labelling, or of computing features.

    Raises:
        UsageError: the split cannot be read, or the pattern is none.
    """
    read_split(config.split)
    song_names([], config.song_pattern)


@contextmanager
def opened(folder: Path, place: Place, *, overwrite: bool) -> Iterator[None]:
    """A run's folder, for this run alone: new, or with a run to go on with, or to be replaced.

    Raises:
        UsageError: the folder holds something else.
        TrainingError: another process trains in it.
    """
    if not place.leads:
        place.wait()
        yield
        return
    _check_folder(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with try_lock(folder / LOCK) as held:
        if not held:
            raise TrainingError(
                f"Another process trains in {folder}.", hint="Wait for it, or name another folder."
            )
        for part in folder.glob(PART_PATTERN):
            part.unlink(missing_ok=True)
        place.wait()
        yield


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file.", hint="Name a folder with -o.")
    if overwrite or not folder.is_dir() or (folder / CONFIG).exists():
        return
    # Besides them, what a run may have left that was killed or locked out before its first file.
    ours = (LOCK, "cache", "corpus")
    if any(p.name not in ours and not p.match(PART_PATTERN) for p in folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty and holds no run.",
            hint="Choose another folder, or --overwrite.",
        )


def execute(
    config: TrainConfig,
    sources: Sequence[Source],
    start: Start,
    place: Place,
    folder: Path,
    listener: Listener,
    *,
    overwrite: bool = False,
) -> Outcome:
    """Split, normalise, build, train; or go on with the run in the folder.

    The run that ``overwrite`` replaces stays until it is known that the new one can begin.

    Raises:
        TrainingError: the data cannot be used, or the run fails.
        KeyboardInterrupt: it was interrupted; its state is saved.
    """
    given = read_split(config.split)
    split = split_songs(sources, config, given)
    if given is not None and (missing := _strangers(given, sources)):
        listener.message(
            "Songs of --split that are not here, or are called otherwise: "
            f"{', '.join(missing[:3])} ({len(missing)} in all)."
        )
    student, card = _student(config, split, start, folder, overwrite=overwrite)
    train = Segments(split.train, config, card.front_end)
    _require_something_to_learn(train, config)
    validation = Segments(split.validation, config, card.front_end, training=False)
    if overwrite:
        _clear(folder, place)
    trainer = Trainer(config, student, card, train, validation, place, folder, listener)
    if trainer.resume():
        state = trainer.state
        if state.finished and place.leads:
            _require_student(folder)
        listener.message(
            f"The run in {folder} is finished: {state.finished}."
            if state.finished
            else f"Going on in epoch {state.epoch + 1}, batch {state.batch + 1}."
        )
    elif place.leads:
        # That of a run whose state is gone, which would be taken for this one's.
        (folder / REPORT).unlink(missing_ok=True)
        config.write(folder / CONFIG)
        _write_json(folder / SPLIT, split.songs())
    place.wait()  # Nobody writes a state before all have looked for one.
    listener.message(_described(train, validation, split))
    try:
        outcome = trainer.run()
    finally:
        listener.close()
    if place.leads and outcome.finished != TIME and not (folder / REPORT).exists():
        listener.message("Judging the best checkpoint.")
        report(folder, config, outcome, split)
    place.wait()
    return replace(outcome, leads=place.leads)


def _require_student(folder: Path) -> None:
    """Raise TrainingError if a finished run lost its student: nothing makes it again."""
    try:
        checkpoint.load_checkpoint(folder)
    except ModelError as error:
        raise TrainingError(
            f"The run in {folder} is finished, but its student is lost. {error.message}",
            hint="Start again with --overwrite, or in another folder.",
        ) from None


def _clear(folder: Path, place: Place) -> None:
    if place.leads:
        for name in _OURS:
            (folder / name).unlink(missing_ok=True)
    place.wait()  # Nobody looks for a state that is about to go.


def _strangers(given: dict[str, list[str]], sources: Sequence[Source]) -> list[str]:
    """Songs that a split names and nobody has."""
    here = {track.song for source in sources for track in source.tracks}
    return sorted({song for names in given.values() for song in names} - here)


def _require_something_to_learn(train: Segments, config: TrainConfig) -> None:
    """Raise TrainingError if a run would only seem to learn, with a loss of 0."""
    if len(train) == 0:
        raise TrainingError(
            "The training split is empty: its recordings have no frames.",
            hint="Give longer recordings.",
        )
    if len(train.epoch(0)) == 0:
        raise TrainingError(
            "An epoch would have no segments: each is seen too rarely.",
            hint="Give greater values of --weight, or longer recordings.",
        )
    if config.kd_alpha == 0 and not any(has_label(track) for track in train.tracks):
        raise TrainingError(
            "None of the recordings to train on has a label that a student could learn.",
            hint="Chords out of the vocabulary, and X, are none. Look at the label files.",
        )


def report(folder: Path, config: TrainConfig, outcome: Outcome, split: Split) -> None:
    """Judge the best checkpoint on the songs that it did not learn from, write ``report.html``,
    and note the scores on the checkpoint's card."""
    card, weights = checkpoint.load_checkpoint(folder)
    student = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=N_CLASSES)
    checkpoint.load_weights(student, card, weights)
    parts = {"validation": split.validation, "test": split.test}
    judged = {name: judge(student, card, sources) for name, sources in parts.items() if sources}
    scores = {name: found for name, found in judged.items() if found is not None}
    metrics = {
        f"{name}/{metric}": found[metric].value
        for name, found in scores.items()
        for metric in (*METRICS, "acqa")
        if math.isfinite(found[metric].value)
    }
    card = replace(card, metrics={**card.metrics, **metrics})
    checkpoint.save_checkpoint(folder / checkpoint.BEST, weights, card)
    write_report(folder, config, card, outcome, scores)


def _student(
    config: TrainConfig, split: Split, start: Start, folder: Path, *, overwrite: bool
) -> tuple[nn.Module, ModelCard]:
    """The student with its first weights, and its card."""
    torch.manual_seed(config.seed)
    front_end = start.card.front_end
    student = build(
        start.card.architecture,
        n_bins=front_end.n_bins,
        n_classes=N_CLASSES,
        dropout=config.dropout,
    )
    if start.weights is None:
        state = folder / checkpoint.STATE
        if state.exists() and not overwrite:
            # The statistics took a pass over the whole training split: take them from there.
            front_end = checkpoint.load_state(state)[1].front_end
        else:
            mean, std = feature_statistics(split.train, front_end)
            front_end = replace(front_end, mean=mean, std=std)
    card = replace(
        start.card,
        name=folder.resolve().name,
        front_end=front_end,
        segment_frames=config.segment_frames,
        windows=_rescaled(start.card, config.segment_frames),
        version="1",
        licence=config.licence,
        source="",
        description="",
        metrics={},
        training={
            "command": config.command,
            "parent": start.parent,
            "recipe": config.method(),
            "data": [_data_facts(s) for s in split.train],
        },
    )
    if start.weights is not None:
        checkpoint.load_weights(student, card, start.weights)
    return student, card


def _rescaled(card: ModelCard, frames: int) -> Windows:
    """The card's windows with as great a share of overlap, where they have another length."""
    context = card.windows.context_frames * frames // (card.segment_frames or DEFAULT_FRAMES)
    return replace(card.windows, context_frames=context)


def _data_facts(source: Source) -> dict[str, Any]:
    frames = sum(t.n_frames for t in source.tracks)
    digest = hashlib.sha256("\n".join(sorted(t.digest for t in source.tracks)).encode())
    return {
        "name": Path(source.name).name,
        "sha256": digest.hexdigest(),
        "recordings": len(source.tracks),
        "hours": round(frames * source.front_end.frame_seconds / 3600, 3),
        "weight": source.weight,
    }


def _described(train: Segments, validation: Segments, split: Split) -> str:
    def part(name: str, segments: Segments) -> str:
        hours = segments.n_frames * segments.front_end.frame_seconds / 3600
        return f"{name} {len(segments.tracks)} recordings ({hours:.1f} h)"

    test = sum(len(s.tracks) for s in split.test)
    return (
        f"{part('Training on', train)}, {len(train)} segments; "
        f"{part('validating on', validation)}; {test} put aside for testing."
    )


def _write_json(path: Path, document: Any) -> None:
    with atomic_write(path, "w") as file:
        file.write(json.dumps(document, indent=1) + "\n")
