"""Stage 1: a student learns what teachers said about unlabelled audio (arXiv 2602.19778)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from chordtool.corpus import Corpus
from chordtool.corpus.manifest import Row
from chordtool.corpus.recipe import DEFAULT_TEACHER
from chordtool.corpus.request import Request, carry_out, make_executor, prepare
from chordtool.errors import UsageError
from chordtool.training import runs
from chordtool.training.config import DistillConfig
from chordtool.training.data import Source
from chordtool.training.devices import Place, place
from chordtool.training.progress import Listener, Silent
from chordtool.training.sources import corpus_source, weights_for
from chordtool.training.state import Outcome


def distill(
    config: DistillConfig, folder: Path, *, listener: Listener | None = None,
    overwrite: bool = False,
) -> Outcome:  # fmt: skip
    """Train a student on labelled corpora, or go on with the run in the folder.

    Args:
        config: the run; ``config.corpus`` names the corpora. A folder of audio among them is
            labelled first, into a corpus in the run's folder.
        folder: where checkpoints, ``metrics.csv`` and ``config.json`` go.
        listener: who is told how it goes.
        overwrite: start anew over a run that is there.

    Raises:
        UsageError: no corpus was named, or a setting makes no sense.
        CorpusError: a corpus is broken.
        ModelUnavailableError: audio must be labelled, and its teacher is not here.
        TrainingError: the data cannot be used, or the run fails.
        KeyboardInterrupt: it was interrupted; its state is saved.
    """
    if not config.corpus:
        raise UsageError("No corpus was given.", hint="Name one with --corpus DIR.")
    runs.check_settings(config)
    weights_for(config.corpus, config.weight)
    start = runs.fresh(config.student)
    with place(config) as here:
        told: Listener = (listener or Silent()) if here.leads else Silent()
        with runs.opened(folder, here, overwrite=overwrite):
            corpora = _corpora(config, folder, here, told)
            taught = replace(start, card=replace(start.card, teacher=_teachers(corpora)))
            sources = _sources(config, corpora, told)
            outcome = runs.execute(config, sources, taught, here, folder, told, overwrite=overwrite)
            return replace(outcome, failures=tuple(f for c in corpora for f in c.failures))


@dataclass(frozen=True)
class _Labelled:
    """A corpus, and what of it is learnt from."""

    path: str
    only: frozenset[str] | None = None
    """sha256 of the recordings' audio; all of them if ``None``."""
    failures: tuple[tuple[str, str], ...] = ()
    """Recordings that could not be labelled, and why."""


def _sources(config: DistillConfig, corpora: Sequence[_Labelled], told: Listener) -> list[Source]:
    weights = weights_for(config.corpus, config.weight)
    return [
        corpus_source(
            corpus.path, weight=weight, song_pattern=config.song_pattern,
            weigh_by_agreement=config.weigh_by_agreement, only=corpus.only,
            path_cost=config.path_cost, tell=told.prepared,
        )
        for corpus, weight in zip(corpora, weights, strict=True)
    ]  # fmt: skip


def _teachers(corpora: Sequence[_Labelled]) -> str:
    """Who labelled some corpora: names joined by ``+``."""
    names = [t["name"] for c in corpora for t in Corpus.open(c.path).description.teachers]
    return "+".join(dict.fromkeys(str(name) for name in names))


def _corpora(
    config: DistillConfig, folder: Path, here: Place, told: Listener
) -> tuple[_Labelled, ...]:
    """The corpora to learn from; the leading process labels what is none yet."""
    if not here.leads:
        here.wait()
    found = tuple(
        _labelled(config, path, folder / "corpus" / str(number), told)
        for number, path in enumerate(config.corpus, 1)
    )
    if here.leads:
        here.wait()
    return found


def _labelled(config: DistillConfig, path: str, target: Path, told: Listener) -> _Labelled:
    """A corpus as it is; a folder of audio labelled, as ``label-corpus`` would."""
    if not Path(path).is_dir() or (Path(path) / "corpus.json").exists():
        if config.teacher and Path(path).is_dir():
            there = [str(t.get("name")) for t in Corpus.open(path).description.teachers]
            if set(there) != set(config.teacher):
                told.message(f"{path} is labelled already, by {' and '.join(there)}: it stays so.")
        return _Labelled(path)
    names = config.teacher or (DEFAULT_TEACHER,)
    told.message(
        f"{path} is no corpus: its recordings are labelled by {' and '.join(names)} first, as "
        f"`chordtool label-corpus` does, into {target}."
    )
    spare = config.spare_semitones
    target.parent.mkdir(parents=True, exist_ok=True)
    prepared = prepare(
        Request(
            output=target, sources=(path,), teachers=names,
            front_end=f"default+{spare}" if spare else "default",
        )
    )  # fmt: skip
    executor = make_executor(prepared)
    done = len(prepared.planned.done)
    total = done + len(prepared.planned.todo)

    def count(_path: str, _row: Row) -> None:
        nonlocal done
        done += 1
        told.prepared(done, total)

    try:
        summary = carry_out(prepared, executor, count)
    finally:
        executor.close()
    for recording, why in summary.failures:
        told.message(f"{recording}: {why}")
    # An earlier run may have left other recordings there, whose labels may serve again.
    present = frozenset(row.audio_sha256 for row in summary.rows.values())
    return _Labelled(str(target), present, tuple(summary.failures))
