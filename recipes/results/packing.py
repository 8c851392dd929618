"""The table's data for another machine: features, posteriors and labels, no audio.

The corpus of stage 1 is rounded (:mod:`recipes.freight`), for it is nearly all there is to carry.
The labelled songs and the test's are packed as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chordtool.errors import UsageError
from recipes import freight
from recipes.results.material import Places

_CORPUS_FILES: Final = ("corpus.json", "manifest.jsonl", "recordings/*/*.safetensors")


def pack(
    places: Places, target: Path, limit: int = freight.LIMIT_BYTES, jobs: int = 1
) -> list[Path]:
    """Write ``table-00.pack``, ``table-01.pack``, ...

    Args:
        places: with the data of all rows made.
        target: a folder, made if it is not there; archives in it are replaced.
        limit: bytes after which the next archive is begun.
        jobs: processes that compress.

    Returns:
        the archives.

    Raises:
        UsageError: the data are not there.
    """
    return freight.pack(list(_files(places)), target, "table", limit=limit, jobs=jobs)


def unpack(source: Path, places: Places, jobs: int = 1) -> list[Path]:
    """Unpack the archives of a folder, or one archive, into the table's folder.

    Archives can come one after the other.

    Raises:
        UsageError: there are none, or one is broken or names files elsewhere.
    """
    archives = sorted(source.glob("table-*.pack")) if source.is_dir() else [source]
    if not archives:
        raise UsageError(f"There are no table-*.pack in {source}.", hint="Make them with --pack.")
    places.out.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        freight.unpack(archive, places.out, jobs)
        print(f"unpacked {archive.name}", file=sys.stderr)
    return archives


def _files(places: Places) -> Iterator[freight.Item]:
    """Files and their names in the table's folder: small ones first."""
    for file in (*_sorted(places.data, "*.json"), *_sorted(places.data, "*labels/**/*.lab")):
        yield freight.Item(file, f"data/{file.relative_to(places.data).as_posix()}")
    for file in _sorted(places.rows, "*.json"):
        yield freight.Item(file, f"rows/{file.name}")
    corpora = {
        "test": places.data / "test",
        "labelled": places.data / "labelled",
        "corpus": places.corpus,
    }
    for name, folder in corpora.items():
        found = [file for pattern in _CORPUS_FILES for file in _sorted(folder, pattern)]
        if not found:
            raise UsageError(
                f"There is no corpus {folder} to pack.",
                hint="Make the data first, with --prepare, and name --corpus.",
            )
        for file in found:
            where = f"data/{name}/{file.relative_to(folder).as_posix()}"
            yield freight.Item(file, where, exact=name != "corpus")


def _sorted(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())
