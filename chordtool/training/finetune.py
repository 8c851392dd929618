"""Stage 2: a student learns ground truth, with its teacher beside it (arXiv 2602.19778).

With ``from_scratch`` it is the paper's supervised baseline instead: random weights, pitch shift,
no teacher.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

from chordtool.corpus import Corpus
from chordtool.corpus.ensemble import Ensemble
from chordtool.corpus.recipe import Recipe, make_recipe, with_spare
from chordtool.errors import UsageError
from chordtool.models.windows import DEFAULT_FRAMES
from chordtool.training import runs
from chordtool.training.config import FinetuneConfig
from chordtool.training.data import Source
from chordtool.training.devices import Place, place
from chordtool.training.ground_truth import Cache, labelled_source, match, summary
from chordtool.training.labelled_corpus import (
    check_teachers,
    corpus_labelled_source,
    is_corpus,
)
from chordtool.training.progress import Listener, Silent
from chordtool.training.sources import corpus_source, replayed, weights_for
from chordtool.training.split import read_split, split_songs
from chordtool.training.starting import starting_weights
from chordtool.training.state import Outcome


def finetune(
    config: FinetuneConfig, folder: Path, *, listener: Listener | None = None,
    overwrite: bool = False,
) -> Outcome:  # fmt: skip
    """Train a student on ground truth, or go on with the run in the folder.

    Args:
        config: the run; ``config.labels`` names the folders of labels.
        folder: where checkpoints, ``metrics.csv``, ``config.json`` and the cache go.
        listener: who is told how it goes.
        overwrite: start anew over a run that is there.

    Raises:
        UsageError: no labels were named, or a setting makes no sense.
        ModelError, ModelUnavailableError: the student or the teacher cannot be loaded.
        TrainingError: the data cannot be used, or the run fails.
        KeyboardInterrupt: it was interrupted; its state is saved.
    """
    if not config.labels:
        raise UsageError("No labels were given.", hint="Name a folder with --labels DIR.")
    runs.check_settings(config)
    start = runs.fresh(config.student) if config.from_scratch else starting_student(config)
    heard = start.card.segment_frames or DEFAULT_FRAMES
    config = replace(config, segment_frames=config.segment_frames or heard)
    with place(config) as here:
        told: Listener = (listener or Silent()) if here.leads else Silent()
        with runs.opened(folder, here, overwrite=overwrite):
            sources, failed = _sources(config, folder, start, here, told)
            outcome = runs.execute(config, sources, start, here, folder, told, overwrite=overwrite)
            return replace(outcome, failures=tuple((str(k), v) for k, v in failed.items()))


def starting_student(config: FinetuneConfig) -> runs.Start:
    """The weights that a configuration starts from.

    Raises:
        ModelUnavailableError, ModelError: they cannot be read, or are of no student.
    """
    card, weights = starting_weights(config.student)
    card = replace(card, teacher="+".join(config.teacher) or card.teacher)
    return runs.Start(card, weights, parent=config.student)


def _sources(
    config: FinetuneConfig, folder: Path, start: runs.Start, here: Place, told: Listener
) -> tuple[list[Source], dict[Path, str]]:
    """All recordings, and why some could not be used; the leading process fills the cache before
    the others read it."""
    if not here.leads:
        here.wait()
    labelled, failed = _labelled(config, folder, start, told)
    if here.leads:
        here.wait()
    if not config.replay:
        if config.kd_alpha and config.kd_on == "replay":
            told.message("Nothing is replayed, so --kd-on replay leaves no recording a teacher.")
        return labelled, failed
    corpora = [
        corpus_source(
            path, song_pattern=config.song_pattern, path_cost=config.path_cost, tell=told.prepared
        )
        for path in config.replay
    ]  # fmt: skip
    trained = split_songs(labelled, config, read_split(config.split)).train
    augmented = config.augment_on == "all"
    others = replayed(corpora, trained, config.replay_share, config.stride, augmented=augmented)
    return labelled + others, failed


def _labelled(
    config: FinetuneConfig, folder: Path, start: runs.Start, told: Listener
) -> tuple[list[Source], dict[Path, str]]:
    if config.audio and len(config.audio) != len(config.labels):
        raise UsageError(
            f"There are {len(config.labels)} folders of labels and {len(config.audio)} of audio.",
            hint="Give one --audio for each --labels, or none.",
        )
    folders: list[Path | None] = [Path(name) for name in config.audio]
    folders = folders or [None] * len(config.labels)
    weights = weights_for(config.labels, config.weight)
    cache = Cache(Path(config.cache) if config.cache else folder / "cache")
    front_end = with_spare(replace(start.card.front_end, mean=0.0, std=1.0), config.spare_semitones)
    listens = not all(is_corpus(folder) for folder in folders)
    recipe = _teachers(config, start) if listens else None
    teachers = None if recipe is None else lru_cache(maxsize=1)(partial(Ensemble, recipe))
    teachers_id = "" if recipe is None else recipe.labels_fingerprint
    sources, failed = [], {}
    for name, audio_folder, weight in zip(config.labels, folders, weights, strict=True):
        if audio_folder is not None and is_corpus(audio_folder):
            sources.append(_from_corpus(config, start, Path(name), audio_folder, weight, told))
            continue
        found = match(Path(name), audio_folder)
        told.message(f"{name}: {len(found.pairs)} recordings with labels.")
        source, unusable = labelled_source(
            found, cache, front_end, name=name, weight=weight,
            song_pattern=config.song_pattern, teachers=teachers, teachers_id=teachers_id,
            tell=told.prepared,
        )  # fmt: skip
        for line in summary([found], unusable):
            told.message(line)
        sources.append(source)
        failed.update(unusable)
    return sources, failed


def _from_corpus(
    config: FinetuneConfig, start: runs.Start, labels: Path, folder: Path, weight: float,
    told: Listener,
) -> Source:  # fmt: skip
    """Labels whose features and posteriors a corpus has."""
    corpus = Corpus.open(folder)
    if config.kd_alpha and config.kd_on == "all":
        check_teachers(corpus, _teacher_names(config, start))
    source, found = corpus_labelled_source(
        labels, corpus, name=str(labels), weight=weight, song_pattern=config.song_pattern
    )
    told.message(f"{labels}: {len(found.pairs)} recordings with labels, in the corpus {folder}.")
    for line in summary([found], {}):
        told.message(line)
    if config.kd_on == "replay":
        alone = tuple(replace(track, posteriors=None) for track in source.tracks)
        return replace(source, tracks=alone)
    return source


def _teacher_names(config: FinetuneConfig, start: runs.Start) -> tuple[str, ...]:
    return config.teacher or tuple(filter(None, start.card.teacher.split("+")))


def _teachers(config: FinetuneConfig, start: runs.Start) -> Recipe | None:
    """Who teaches beside the labels; ``None`` if nobody does, or the corpora alone."""
    if config.kd_alpha == 0 or config.kd_on == "replay":
        return None
    names = _teacher_names(config, start)
    if not names:
        raise UsageError(
            "The student's card names no teacher.",
            hint="Name one with --teacher, or train without: --kd-alpha 0.",
        )
    return make_recipe(names, front_end=start.card.front_end)
