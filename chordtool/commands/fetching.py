"""Following downloads on standard error: licences first, then a bar a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from chordtool import catalogue
from chordtool.catalogue import CatalogueEntry, WeightFile
from chordtool.commands.display import stderr_console
from chordtool.commands.output import bytes_for_people
from chordtool.download import MAX_UNSTATED_BYTES, download


def fetch_and_show(
    names: Sequence[str], *, folder: Path | None, offline: bool, quiet: bool
) -> dict[str, tuple[Path, ...]]:
    """Fetch the weights of the named models.

    Returns:
        Where each model's files are.

    Raises:
        ModelUnavailableError: a file could not be fetched.
        UsageError: nothing is downloaded for a name.
    """
    entries = [catalogue.entry(name) for name in names]
    console = stderr_console()
    if not quiet:
        for entry in entries:
            console.print(licence_line(entry), markup=False, soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )
    with bar:
        tasks: dict[str, int] = {}

        def follow(file: WeightFile, have: int, total: int | None) -> None:
            if file.name not in tasks:
                tasks[file.name] = bar.add_task(file.name)
            bar.update(tasks[file.name], completed=have, total=total)  # type: ignore[arg-type]

        paths = {
            entry.name: download(entry.name, folder=folder, offline=offline, progress=follow)
            for entry in entries
        }
    if not quiet:
        for name, found in paths.items():
            console.print(f"{name}: {len(found)} files in {found[0].parent}", soft_wrap=True)
    return paths


def licence_line(entry: CatalogueEntry) -> str:
    """Name, size, licence, authors and repository on one line."""
    size = bytes_for_people(entry.size) or f"at most {bytes_for_people(MAX_UNSTATED_BYTES)}"
    parts = [f"licence {entry.licence}", size, entry.source]
    return f"{entry.name}: {', '.join(parts)}; from github.com/{entry.files[0].repository}"
