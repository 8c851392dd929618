"""``chordtool corpus``: what a corpus holds, and whether it is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands.choices import a_path
from chordtool.errors import ExitCode

corpus = typer.Typer(no_args_is_help=True)

Folder = Annotated[
    Path,
    typer.Argument(
        parser=a_path, metavar="CORPUS", help="Folder of the corpus.", show_default=False
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


@corpus.command()
def info(folder: Folder, json: Json = False) -> None:
    """Show hours, files, failures, and what the labels look like."""
    from chordtool.commands.corpus_display import show_info
    from chordtool.corpus import Corpus
    from chordtool.corpus.info import describe_corpus

    show_info(describe_corpus(Corpus.open(folder)), json=json)


@corpus.command()
def verify(
    folder: Folder,
    check: Annotated[
        bool, typer.Option("--check", help="Only look; repair and remove nothing.")
    ] = False,
    audio: Annotated[
        bool, typer.Option("--audio", help="Read the audio files too, and compare their hashes.")
    ] = False,
    json: Json = False,
) -> None:
    """Check every hash, and make the manifest say what is true."""
    from chordtool.commands.corpus_display import checking, show_report
    from chordtool.corpus import Corpus
    from chordtool.corpus.verify import verify as check_corpus

    found = Corpus.open(folder)
    with checking() as on_row:
        report = check_corpus(found, repair=not check, audio=audio, on_row=on_row)
    show_report(report, repaired=not check, json=json)
    raise typer.Exit(ExitCode.OK if report.is_clean else ExitCode.SOME_FAILED)
