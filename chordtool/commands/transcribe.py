"""``chordtool transcribe``."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from chordtool.commands import completion
from chordtool.commands.choices import Spelling, Vocabulary, asked_for, opposites
from chordtool.threads import one_blas_thread

one_blas_thread()

_FORMATS: Final = ["lab"]


def transcribe(
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Audio files, folders, glob patterns, or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE|DIR",
            help="A file for one recording, its suffix choosing the format; a folder for many. "
            "One recording without it, or with -, goes to standard output.",
        ),
    ] = None,
    formats: Annotated[
        list[str],
        typer.Option(
            "-f",
            "--format",
            metavar="NAME",
            help="lab, json, jsonl, csv, jams, midi, audacity, sonic-visualiser, chordpro, chart, "
            "srt, lrc, html, or a plug-in's; may be repeated.",
            autocompletion=completion.format_names,
        ),
    ] = _FORMATS,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            metavar="NAME|FILE.onnx",
            help="Which model listens.",
            autocompletion=completion.model_names,
        ),
    ] = "default",
    vocabulary: Annotated[
        Vocabulary | None,
        typer.Option(help=r"168 chords or major and minor only.  \[default: the model's]"),
    ] = None,
    beats: Annotated[
        bool, typer.Option("--beats", help="Move changes onto beats, and write bars in charts.")
    ] = False,
    beat_tracker: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which beat tracker listens, with --beats.",
            autocompletion=completion.tracker_names,
        ),
    ] = "librosa",
    top: Annotated[int, typer.Option(min=0, help="Alternatives of each chord, at most.")] = 3,
    spelling: Annotated[
        Spelling,
        typer.Option(help="Names of the black keys; default is the format's own way."),
    ] = Spelling.default,
    embed_audio: Annotated[
        bool, typer.Option("--embed-audio", help="Put the recording into the html page.")
    ] = False,
    jobs: Annotated[
        int, typer.Option("-j", "--jobs", min=0, help="Worker processes; 0: one for each core.")
    ] = 0,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave recordings out whose files exist.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that exist.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what failed.")] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Say what was done to each recording.")
    ] = False,
) -> None:
    """Write down the chords of recordings.

    One recording goes to standard output as a .lab file: chordtool transcribe song.mp3 > song.lab
    """
    from chordtool.errors import UsageError
    from chordtool.hearing import ahead

    if asked_for(context, "beat_tracker") and not beats:
        raise UsageError(
            "A beat tracker is named, but beats are not asked for.", hint="Add --beats."
        )

    skip_existing, overwrite = opposites(context, "skip_existing", "overwrite")
    quiet, verbose = opposites(context, "quiet", "verbose")
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other.")

    # Decoding goes on while the rest of the program is imported.
    with ahead(sources if output in (None, "-") else ()) as begun:
        from chordtool import transcribing
        from chordtool.formats import FormatOptions

        named = tuple(formats)
        asked = asked_for(context, "formats")
        request = transcribing.Request(
            sources=tuple(sources),
            output=output,
            formats=named if asked else (),
            usual_formats=() if asked else named,
            model=model,
            vocabulary=vocabulary.value if vocabulary else None,
            n_jobs=jobs,
            existing=transcribing.existing_policy(skip_existing, overwrite),
            options=FormatOptions(top=top, spelling=spelling.value, embed_audio=embed_audio),
            beats=beat_tracker if beats else None,
        )
        recordings = transcribing.for_stdout(request) if request.to_stdout else []
        if len(recordings) == 1:
            sys.stdout.buffer.write(transcribing.to_bytes(request, sys.stdin.buffer, begun))
            return
    from chordtool.commands.display import show_batch

    if request.to_stdout:
        streams = sys.stdin.buffer, sys.stdout.buffer
        outcomes = transcribing.to_stream(request, recordings, *streams)
        # Whoever reads the documents has no use for a count of them.
        raise typer.Exit(show_batch(outcomes, total=len(recordings), quiet=True, verbose=verbose))
    tasks, failed = transcribing.plan(request)
    status = show_batch(
        transcribing.run(request, tasks, failed),
        total=len(tasks) + len(failed),
        quiet=quiet,
        verbose=verbose,
    )
    raise typer.Exit(status)
