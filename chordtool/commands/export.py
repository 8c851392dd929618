"""``chordtool export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from chordtool.commands.choices import a_path
from chordtool.commands.output import bytes_for_people, show_json, show_pairs


def export(
    run: Annotated[
        Path,
        typer.Argument(
            parser=a_path, metavar="RUN", help="Folder of a run, or one of its checkpoints."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", parser=a_path, metavar="FILE.onnx", help="The file to write."
        ),
    ],
    last: Annotated[
        bool, typer.Option("--last", help="Take the last checkpoint instead of the best.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the model, for its card.")] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, for its card: an SPDX identifier.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="One sentence, for its card.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Turn a trained student into one ONNX file, after comparing the two."""
    from chordtool.export import export_run

    written = export_run(
        run,
        output,
        last=last,
        name=name,
        licence=licence,
        description=description,
        overwrite=overwrite,
    )
    if json:
        show_json(
            {
                "path": str(written.path),
                "name": written.card.name,
                "architecture": written.card.architecture,
                "size": written.size,
                "sha256": written.sha256,
                "difference": written.difference,
            }
        )
        return
    show_pairs(
        (
            ("written", written.path),
            ("name", written.card.name),
            ("architecture", written.card.architecture),
            ("size", bytes_for_people(written.size)),
            ("sha256", written.sha256),
            ("largest difference to torch", f"{written.difference:.2g}"),
        )
    )
