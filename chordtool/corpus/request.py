"""What ``label-corpus`` is asked for, and the steps it takes: prepare, tell the cost, label."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from chordtool import catalogue
from chordtool.corpus.estimate import Cost, estimate
from chordtool.corpus.folder import Corpus
from chordtool.corpus.recipe import DEFAULT_TEACHER, Recipe, make_recipe, parse_front_end
from chordtool.corpus.run import Bounds, OnRow, Plan, Summary, label_corpus, plan
from chordtool.corpus.sources import Shard, find_sources
from chordtool.errors import UsageError
from chordtool.executors import (
    DaskExecutor,
    Executor,
    ProcessExecutor,
    SerialExecutor,
    default_jobs,
)


@dataclass(frozen=True)
class Request:
    """A run of ``label-corpus``."""

    output: Path
    """The corpus folder, made if it is not there."""
    sources: tuple[str, ...] = ()
    """Files, folders and glob patterns."""
    from_file: str | None = None
    """A list of more of them; ``"-"`` is standard input."""
    teachers: tuple[str, ...] = (DEFAULT_TEACHER,)
    """Registered names or ``.onnx`` files."""
    weights: tuple[float, ...] = ()
    """One a teacher; equal ones by default."""
    average: str = "geometric"
    """How several teachers are averaged."""
    filter_confidence: float = 0.0
    """Least posterior of a label; 0 labels every frame."""
    front_end: str = "default"
    """:func:`chordtool.corpus.recipe.parse_front_end`."""
    n_jobs: int = 0
    """Worker processes; 0 is one a core."""
    shard: str = "1/1"
    """:meth:`chordtool.corpus.sources.Shard.parse`."""
    cluster: str | None = None
    """Address of a Dask scheduler, or ``local:N``."""
    bounds: Bounds = field(default_factory=Bounds)

    def __post_init__(self) -> None:
        low, high = self.bounds.min_seconds, self.bounds.max_seconds
        if not 0 <= low <= high or math.isnan(high):
            raise UsageError("--min-seconds is above --max-seconds.")


@dataclass(frozen=True)
class Prepared:
    """A run that could start."""

    request: Request
    recipe: Recipe
    corpus: Corpus
    """Not made yet if it is new."""
    planned: Plan
    problems: list[tuple[str, str]]
    """Folders that cannot be listed or hold nothing, and why."""
    n_workers: int
    """Worker processes on this machine; those of a cluster are known when it is reached."""


def missing_weights(teachers: tuple[str, ...]) -> list[str]:
    """Those teachers whose weights can be downloaded and are not on this machine."""
    return [n for n in teachers if n in catalogue.CATALOGUE and not catalogue.is_here(n)]


def prepare(request: Request) -> Prepared:
    """Load the teachers, find the recordings, and see what is done already; writes nothing.

    Raises:
        UsageError: the request makes no sense.
        ModelUnavailableError, ModelError: a teacher cannot be used.
        CorpusError: the output is something else, or newer than this program.
        ChordtoolError: the list of sources cannot be read.
    """
    shard = Shard.parse(request.shard)
    front_end = parse_front_end(request.front_end)
    recipe = make_recipe(
        request.teachers,
        weights=request.weights,
        front_end=front_end,
        average=request.average,
        filter_confidence=request.filter_confidence,
    )
    Corpus.check(request.output)
    corpus = Corpus(request.output, recipe.describe())
    paths, problems = find_sources(request.sources, from_file=request.from_file, shard=shard)
    planned = plan(corpus, paths, request.bounds)
    n_workers = min(request.n_jobs or default_jobs(), max(1, len(planned.todo)))
    return Prepared(request, recipe, corpus, planned, problems, n_workers)


def cost(prepared: Prepared, executor: Executor | None = None) -> Cost:
    """What the run will cost.

    Raises:
        ModelUnavailableError: a teacher cannot be loaded.
    """
    workers = executor.workers if executor is not None else prepared.n_workers
    return estimate(prepared.recipe, prepared.planned.todo, workers)


def make_executor(prepared: Prepared) -> Executor:
    """Where the run takes place.

    Raises:
        UsageError, ChordtoolError: the cluster cannot be used.
    """
    if prepared.request.cluster is not None:
        return DaskExecutor(prepared.request.cluster)
    if prepared.n_workers == 1:
        return SerialExecutor()
    return ProcessExecutor(prepared.n_workers)


def carry_out(prepared: Prepared, executor: Executor, on_row: OnRow | None = None) -> Summary:
    """Make the corpus and label what is to be labelled.

    Raises:
        CorpusWriteError: the disk is full, or the folder cannot be written to.
        ModelUnavailableError: a worker has no such teacher.
    """
    corpus = Corpus.create(prepared.request.output.absolute(), prepared.recipe.describe())
    summary = label_corpus(
        corpus,
        prepared.recipe,
        prepared.planned,
        executor,
        bounds=prepared.request.bounds,
        on_row=on_row,
    )
    summary.problems.extend(prepared.problems)
    return summary
