"""``chordtool convert``."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands import completion
from chordtool.commands.choices import Spelling, asked_for


class Simplify(str, Enum):
    """Ways to simplify that ``--simplify`` takes."""

    none = "none"
    majmin = "majmin"
    triads = "triads"


def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN", help="Chords: a .lab, .json or .jams file, or - for standard input."
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The result, or - for standard output."),
    ],
    format_name: Annotated[
        str | None,
        typer.Option(
            "-f",
            "--format",
            metavar="NAME",
            help="Format of OUT, if its suffix does not say it: those of transcribe.",
            autocompletion=completion.format_names,
        ),
    ] = None,
    transpose: Annotated[
        int, typer.Option(min=-24, max=24, help="Move the chords by so many semitones.")
    ] = 0,
    capo: Annotated[
        int, typer.Option(min=0, max=11, help="Write the chords to play with a capo at this fret.")
    ] = 0,
    simplify: Annotated[
        Simplify, typer.Option(help="Major and minor only, or triads only.")
    ] = Simplify.none,
    spelling: Annotated[
        Spelling,
        typer.Option(help="Names of the black keys; default is the format's own way."),
    ] = Spelling.default,
    top: Annotated[int, typer.Option(min=0, help="Alternatives of each chord, at most.")] = 3,
    title: Annotated[str, typer.Option(help="Title in formats that have one.")] = "",
    audio: Annotated[
        Path | None, typer.Option(help="The recording, for formats that can play it.")
    ] = None,
    embed_audio: Annotated[
        bool, typer.Option("--embed-audio", help="Put the recording into the html page.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it exists.")
    ] = False,
) -> None:
    """Turn written chords into another format, key or vocabulary.

    A page to practise with: chordtool convert song.json song.html --capo 2 --audio song.mp3
    """
    from chordtool.convert import Conversion, convert_file
    from chordtool.formats import FormatOptions

    data = convert_file(
        source,
        None if str(target) == "-" else target,
        Conversion(transpose, capo, simplify.value),
        format_name=format_name if asked_for(context, "format_name") else None,
        usual_format=format_name or "lab",
        options=FormatOptions(
            top=top,
            spelling=spelling.value,
            title=title,
            audio=audio,
            embed_audio=embed_audio,
        ),
        overwrite=overwrite,
    )
    if data is not None:
        sys.stdout.buffer.write(data)
