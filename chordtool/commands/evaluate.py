"""``chordtool evaluate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands import completion
from chordtool.commands.choices import Vocabulary, a_path
from chordtool.errors import UsageError
from chordtool.threads import one_blas_thread

one_blas_thread()


def evaluate(
    labels: Annotated[
        Path,
        typer.Option(
            "--labels",
            parser=a_path,
            metavar="DIR",
            help="Ground truth: .lab, .jams or .json files.",
        ),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            metavar="NAME|FILE.onnx",
            help="A model to evaluate; may be repeated: the others are compared with the first.",
            autocompletion=completion.model_names,
        ),
    ] = None,
    estimates: Annotated[
        list[Path] | None,
        typer.Option(
            "--estimates",
            parser=a_path,
            metavar="DIR",
            help="Folder of chord files to evaluate; may be repeated.",
        ),
    ] = None,
    audio: Annotated[
        Path | None,
        typer.Option(
            parser=a_path, metavar="DIR", help=r"The recordings.  \[default: beside the labels]"
        ),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(
            parser=a_path,
            metavar="RUN|FILE",
            help="Score only the songs that a run of finetune put aside for testing: its folder, "
            "or a split.json.",
        ),
    ] = None,
    vocabulary: Annotated[
        Vocabulary | None, typer.Option(help=r"What models may say.  \[default: all they know]")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Answer with a row for each song.")] = False,
    plot: Annotated[
        Path | None, typer.Option(parser=a_path, metavar="FILE.svg", help="Draw the scores, too.")
    ] = None,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Worker processes; 0: one for each core.")
    ] = 0,
    resamples: Annotated[
        int,
        typer.Option(min=1, max=1_000_000, help="How often songs are drawn anew for the ranges."),
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed for drawing songs.")] = 42,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what failed.")] = False,
) -> None:
    """Score models, or chord files, against ground truth.

    Songs belong together by name: song.lab and song.mp3.
    """
    from chordtool.commands.evaluation_display import progress, show_missing, show_tables
    from chordtool.commands.output import show_json
    from chordtool.evaluation import Bootstrap
    from chordtool.evaluation.folders import Request, evaluate_folders
    from chordtool.evaluation.report import require_plot_name, to_csv, to_document, write_plot
    from chordtool.executors import default_jobs

    if json and csv:
        raise UsageError("Only one of --json and --csv can be the answer.", hint="Call it twice.")
    request = Request(
        labels=labels,
        models=tuple(model or ()),
        estimates=tuple(estimates or ()),
        audio=audio,
        split=split,
        vocabulary=vocabulary.value if vocabulary else None,
        n_jobs=jobs or default_jobs(),
        bootstrap=Bootstrap(resamples, seed),
    )
    if plot is not None:
        require_plot_name(plot)
    with progress(quiet) as tell:
        found = evaluate_folders(request, tell)
    if csv:
        # As bytes: songs are called by their files, whose names need not be text.
        sys.stdout.buffer.write(to_csv(found).encode("utf-8", "surrogateescape"))
    elif json:
        show_json(to_document(found))
    else:
        show_tables(found)
    status = show_missing(found, quiet=quiet)
    if plot is not None:  # last: scores that took an hour are shown, whatever becomes of it
        write_plot(found, plot)
    raise typer.Exit(status)
