"""``chordtool label-corpus``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Final

import typer

from chordtool.commands import completion
from chordtool.commands.choices import a_path
from chordtool.threads import one_blas_thread

one_blas_thread()

_TEACHERS: Final = ["lv"]


class Average(str, Enum):
    """Means that ``--average`` takes."""

    geometric = "geometric"
    arithmetic = "arithmetic"


def label_corpus(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            parser=a_path,
            metavar="CORPUS",
            help="Folder of the corpus.",
            show_default=False,
        ),
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE...",
            help="Folders of music, audio files, glob patterns.",
            show_default=False,
        ),
    ] = None,
    from_file: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="A file with more sources, one a line or each ended by a zero byte; - is "
            "standard input.",
        ),
    ] = None,
    teachers: Annotated[
        list[str],
        typer.Option(
            "-t",
            "--teacher",
            metavar="NAME|FILE.onnx",
            help="Who labels; repeat it for several, which are averaged.",
            autocompletion=completion.model_names,
        ),
    ] = _TEACHERS,
    weights: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            help=r"Share of each teacher in the average, in the same order.  \[default: equal]",
        ),
    ] = None,
    average: Annotated[
        Average, typer.Option(help="Mean of the teachers' posteriors.")
    ] = Average.geometric,
    filter_confidence: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Leave frames unlabelled on which the teachers are less sure; 0 labels all.",
        ),
    ] = 0.0,
    student_front_end: Annotated[
        str,
        typer.Option(
            metavar="FRONT_END",
            help="Features to keep: default, btc, or a model's name or file; default+6 keeps six "
            "spare semitones below and above, for exact pitch shifts.",
        ),
    ] = "default",
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Worker processes; 0: one for each core.")
    ] = 0,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Label the I-th of N parts of the sources only.")
    ] = "1/1",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Label on a Dask cluster: tcp://HOST:PORT of its scheduler, or local:4.",
        ),
    ] = None,
    min_seconds: Annotated[float, typer.Option(min=0, help="Skip shorter recordings.")] = 0.0,
    max_seconds: Annotated[
        float | None, typer.Option(min=0, help="Skip longer recordings.", show_default=False)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and what it would cost.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Download no weights; fail if some are missing.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what failed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Label a folder of music: a training set for a student (stage 1).

    It goes on where an earlier run was interrupted, and labels only what is new or has changed:
    chordtool label-corpus ~/Music -o corpus/
    """
    from chordtool.commands.corpus_display import follow
    from chordtool.commands.fetching import fetch_and_show
    from chordtool.corpus.request import Request, missing_weights, prepare
    from chordtool.corpus.run import Bounds

    request = Request(
        output=output,
        sources=tuple(sources or ()),
        from_file=from_file,
        teachers=tuple(teachers) or Request.teachers,
        weights=tuple(weights or ()),
        average=average.value,
        filter_confidence=filter_confidence,
        front_end=student_front_end,
        n_jobs=jobs,
        shard=shard,
        cluster=cluster,
        bounds=Bounds(min_seconds, float("inf") if max_seconds is None else max_seconds),
    )
    if missing := missing_weights(request.teachers):
        fetch_and_show(missing, folder=None, offline=offline, quiet=quiet)
    raise typer.Exit(follow(prepare(request), dry_run=dry_run, quiet=quiet, json=json))
