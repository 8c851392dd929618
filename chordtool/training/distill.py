"""Stage 1: a student learns what teachers said about unlabelled audio (arXiv 2602.19778)."""

from __future__ import annotations

from pathlib import Path

from chordtool.corpus import Corpus
from chordtool.errors import UsageError
from chordtool.training import runs
from chordtool.training.config import DistillConfig
from chordtool.training.data import Source
from chordtool.training.devices import place
from chordtool.training.progress import Listener, Silent
from chordtool.training.sources import corpus_source, weights_for
from chordtool.training.state import Outcome


def distill(
    config: DistillConfig, folder: Path, *, listener: Listener | None = None,
    overwrite: bool = False,
) -> Outcome:  # fmt: skip
    """Train a student on labelled corpora, or go on with the run in the folder.

    Args:
        config: the run; ``config.corpus`` names the corpora.
        folder: where checkpoints, ``metrics.csv`` and ``config.json`` go.
        listener: who is told how it goes.
        overwrite: start anew over a run that is there.

    Raises:
        UsageError: no corpus was named, or a setting makes no sense.
        CorpusError: a corpus is broken.
        TrainingError: the data cannot be used, or the run fails.
        KeyboardInterrupt: it was interrupted; its state is saved.
    """
    if not config.corpus:
        raise UsageError("No corpus was given.", hint="Name one with --corpus DIR.")
    start = runs.fresh(config.student)
    with place(config) as here:
        told: Listener = (listener or Silent()) if here.leads else Silent()
        if here.leads:
            runs.prepare(folder, overwrite=overwrite)
        here.wait()
        sources = corpora(config)
        teachers = [
            t["name"] for path in config.corpus for t in Corpus.open(path).description.teachers
        ]
        names = "+".join(dict.fromkeys(str(name) for name in teachers))
        start = runs.Start(start.architecture, start.front_end, teacher=names)
        return runs.execute(config, sources, start, here, folder, told)


def corpora(config: DistillConfig) -> list[Source]:
    """The sources that a configuration names."""
    weights = weights_for(config.corpus, config.weight)
    return [
        corpus_source(
            path, weight=weight, song_pattern=config.song_pattern,
            weigh_by_agreement=config.weigh_by_agreement,
        )
        for path, weight in zip(config.corpus, weights, strict=True)
    ]  # fmt: skip
