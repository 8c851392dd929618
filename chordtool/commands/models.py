"""``chordtool models``: which there are, and their weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from chordtool import catalogue
from chordtool.commands import completion
from chordtool.commands.choices import a_path
from chordtool.commands.output import bytes_for_people, show_json, show_pairs, show_table
from chordtool.errors import ExitCode
from chordtool.models import inventory

models = typer.Typer(no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Downloaded = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME...",
        help="Models whose weights are downloaded: btc, crema, lv.",
        autocompletion=completion.download_names,
        show_default=False,
    ),
]


@models.command("list")
def list_(json: Json = False) -> None:
    """List the models that --model takes, plug-ins included."""
    entries = inventory.list_models()
    if json:
        show_json([asdict(entry) for entry in entries])
        return
    show_table(
        ("model", "state", "size", "licence", "package", "description"),
        (
            (e.name, e.state, bytes_for_people(e.size), e.licence, e.package, e.description)
            for e in entries
        ),
    )


@models.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.onnx",
            help="A registered model or an exported one.",
            autocompletion=completion.model_names,
        ),
    ],
    json: Json = False,
) -> None:
    """Show what is known of a model: its card, its files, where they come from."""
    details = inventory.describe(name)
    if json:
        show_json(details.to_json())
        return
    show_pairs(details.pairs())
    if details.files:
        show_table(
            ("file", "state", "size", "sha256", "where"),
            (
                (s.file.name, s.state, bytes_for_people(s.file.size), s.file.sha256[:12], s.path)
                for s in details.files
            ),
        )


@models.command()
def download(
    names: Downloaded,
    to: Annotated[
        Path | None,
        typer.Option(
            parser=a_path,
            metavar="DIR",
            help="Fetch into this folder, for CHORDTOOL_MODELS on this or another machine.",
        ),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Fetch nothing; fail if something is missing.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Show no licence and no bar.")
    ] = False,
    json: Json = False,
) -> None:
    """Fetch the weights of models, after showing their licences."""
    from chordtool.commands.fetching import fetch_and_show

    paths = fetch_and_show(names, folder=to, offline=offline, quiet=quiet)
    if json:
        show_json({name: [str(path) for path in found] for name, found in paths.items()})


@models.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Which models; all that are here by default.",
            autocompletion=completion.download_names,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Check downloaded weights against their published checksums."""
    files = inventory.verify(names or ())
    if json:
        show_json(inventory.files_to_json(files))
    elif not files:
        typer.echo("No weights have been downloaded.", err=True)
    else:
        show_table(
            ("file", "state", "where"), ((s.file.name, s.state, s.path or "") for s in files)
        )
    if any(status.state != "ready" for status in files):
        raise typer.Exit(ExitCode.SOME_FAILED)


@models.command()
def path(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="A model, for its files; by default the folders that are searched.",
            autocompletion=completion.download_names,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print where weights are looked for, or where those of a model are."""
    found = [str(p) for p in (catalogue.folders() if name is None else catalogue.weights(name))]
    if json:
        show_json(found)
    else:
        typer.echo("\n".join(found))


@models.command()
def remove(names: Downloaded, json: Json = False) -> None:
    """Delete downloaded weights from the cache; other folders are left alone."""
    gone = [str(p) for name in names for p in catalogue.remove(name)]
    if json:
        show_json(gone)
    else:
        nothing = f"Nothing of it is in the cache, {catalogue.cache_folder()}."
        typer.echo("\n".join(gone) if gone else nothing, err=not gone)
