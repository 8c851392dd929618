"""The table's data for another machine: features, posteriors and labels, no audio.

Files go as they are into archives of a limited size, each of which can be unpacked by itself.
"""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chordtool.errors import UsageError
from recipes.results.material import Places

LIMIT_BYTES: Final = 44 << 20
"""An archive takes no further file when it has this size."""
_CORPUS_FILES: Final = ("corpus.json", "manifest.jsonl", "recordings/*/*.safetensors")


def pack(places: Places, target: Path, limit: int = LIMIT_BYTES) -> list[Path]:
    """Write ``pack-00.tar.gz``, ``pack-01.tar.gz``, ...

    Args:
        places: with the data of all rows made.
        target: a folder, made if it is not there; archives in it are replaced.
        limit: bytes after which the next archive is begun. A file is not divided: archives can be
            larger by the largest file.

    Returns:
        the archives.

    Raises:
        UsageError: the data are not there.
    """
    files = list(_files(places))
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("pack-*.tar.gz"):
        old.unlink()
    written: list[Path] = []
    while files:
        path = target / f"pack-{len(written):02}.tar.gz"
        with path.open("wb") as raw, tarfile.open(fileobj=raw, mode="w:gz", compresslevel=6) as tar:
            while files and raw.tell() < limit:
                source, name = files.pop(0)
                tar.add(source, name, recursive=False)
        written.append(path)
    return written


def unpack(source: Path, places: Places) -> list[Path]:
    """Unpack the archives of a folder, or one archive, into the table's folder.

    Archives can come one after the other.

    Raises:
        UsageError: there are none, or one is broken or holds what :func:`pack` does not write.
    """
    archives = sorted(source.glob("pack-*.tar.gz")) if source.is_dir() else [source]
    if not archives:
        raise UsageError(f"There are no pack-*.tar.gz in {source}.", hint="Make them with --pack.")
    if not hasattr(tarfile, "data_filter"):
        raise UsageError(
            "This Python cannot unpack safely.", hint="Use 3.12, 3.11.4, 3.10.12 or newer."
        )
    places.out.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        try:
            with tarfile.open(archive, "r:gz") as tar:
                tar.extractall(places.out, filter="data")
        except (OSError, EOFError, tarfile.TarError) as error:
            raise UsageError(f"{archive} cannot be unpacked: {error}.") from None
        print(f"unpacked {archive.name}", file=sys.stderr)
    return archives


def _files(places: Places) -> Iterator[tuple[Path, str]]:
    """Files and their names in the table's folder: small ones first."""
    for file in (*_sorted(places.data, "*.json"), *_sorted(places.data, "*labels/**/*.lab")):
        yield file, f"data/{file.relative_to(places.data).as_posix()}"
    for file in _sorted(places.rows, "*.json"):
        yield file, f"rows/{file.name}"
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
            yield file, f"data/{name}/{file.relative_to(folder).as_posix()}"


def _sorted(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for path in folder.glob(pattern) if path.is_file())
