"""Weights that are downloaded: where they are, how large, which checksum, which licence.

Nothing here is in the package. :func:`weights` finds the files of a model on this machine and
vouches for their content; :mod:`chordtool.download` fetches what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import quote

from chordtool.errors import ModelUnavailableError, UsageError
from chordtool.files import sha256_of
from chordtool.settings import at_home

MODELS_ENV: Final = "CHORDTOOL_MODELS"
"""A folder with weights that is looked at before the user's cache; same layout."""
URL_ENV: Final = "CHORDTOOL_MODELS_URL"
"""Where downloads come from instead: a mirror with ``owner/repository/commit/path`` below it."""
RAW_FILES: Final = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class WeightFile:
    """One file of a model's weights."""

    name: str
    """Path below a models folder, with forward slashes."""
    repository: str
    """GitHub repository, ``owner/name``."""
    commit: str
    """Full commit hash: the file behind the address never changes."""
    path: str
    """Path inside the repository."""
    sha256: str
    """Hex digest of the content."""
    size: int | None = None
    """Bytes; ``None`` where the publisher does not state it."""

    @property
    def url(self) -> str:
        """Address of the raw file, from ``CHORDTOOL_MODELS_URL`` if that is set."""
        base = os.environ.get(URL_ENV) or RAW_FILES
        return f"{base.rstrip('/')}/{self.repository}/{self.commit}/{quote(self.path)}"


@dataclass(frozen=True)
class CatalogueEntry:
    """A model whose weights are published elsewhere."""

    name: str
    """Name of the model as users type it."""
    files: tuple[WeightFile, ...]
    licence: str
    """SPDX identifier of the weights' licence."""
    source: str
    """Who made them, and in which publication."""
    description: str
    """One sentence."""

    @property
    def size(self) -> int | None:
        """Bytes of all files; ``None`` if one of them is not known."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


_LV_SHA256: Final = (
    "eb184eb3823a371cdbe59eb18a94f7571829f30ed3c7a2efc315e7c7f440eb15",
    "161d6ff62a4fefd6c86bf75d898d2c0722d5f39d4eebbc74dd2c9d561a96f83d",
    "9ca7effbd026e11b92a2312925dc1402a1fc8c6c6376026d8a55fb60002e0d94",
    "6a78bd71f25ef18dca8350dba426407bc5e6c596ecae6283d13763f7e0e9588c",
    "a6b7042fd2c04f8234a1f6484032c977e0e11ebc920b9af1febbfe466962eb3f",
)
_CREMA: Final = ("shantanugoel/atarang-web", "1706139552dd2926036d2999856c9a5fd0db5ad1")

_ENTRIES: Final = (
    CatalogueEntry(
        name="btc",
        files=(
            WeightFile(
                name="btc/btc_model_large_voca.pt",
                repository="jayg996/BTC-ISMIR19",
                commit="2682317be668032e6e4b269ded36adaa2ad57df0",
                path="test/btc_model_large_voca.pt",
                sha256="1673d23f8f9a55ae7f9e8b80a51da616debb22675b8d8b67ea6ce0ef37b0ab51",
            ),
        ),
        licence="MIT",
        source="Park et al., A Bi-directional Transformer for Musical Chord Recognition, "
        "ISMIR 2019",
        description="The bi-directional transformer's public checkpoint, 168 chords.",
    ),
    CatalogueEntry(
        name="lv",
        files=tuple(
            WeightFile(
                name=f"lv/fold{fold}.onnx",
                repository="K024/chordmini-web",
                commit="1a18e0b7c9c5d04f15e3e54a67ce81fb015b519e",
                path="src/assets/joint_chord_net_ismir_naive_v1.0_reweight(0.0,10.0)"
                f"_s{fold}.best.onnx",
                sha256=sha256,
                size=1_893_194,
            )
            for fold, sha256 in enumerate(_LV_SHA256)
        ),
        licence="MIT",
        source="Jiang et al., Large-vocabulary Chord Transcription via Chord Structure "
        "Decomposition, ISMIR 2019",
        description="Chord structure decomposition, the mean of five networks; slow and steady.",
    ),
    CatalogueEntry(
        name="crema",
        files=(
            WeightFile(
                name="crema/crema-chord.onnx",
                repository=_CREMA[0],
                commit=_CREMA[1],
                path="models/chords/crema-chord.onnx",
                sha256="796f9bf51aa647cb385f49d0f383b691295410c64cfa369eaa97f0133aadae77",
                size=2_192_312,
            ),
            WeightFile(
                name="crema/crema-chord-vocabulary.json",
                repository=_CREMA[0],
                commit=_CREMA[1],
                path="models/chords/crema-chord-vocabulary.json",
                sha256="cbed6182598cafd5034f21892dc90a7771de0217b9cfabbbf49790a7c686ebbe",
                size=1_555,
            ),
        ),
        licence="BSD-2-Clause",
        source="McFee and Bello, Structured Training for Large-vocabulary Chord Recognition, "
        "ISMIR 2017",
        description="Convolutional and recurrent, trained on chord structure, 168 chords.",
    ),
)

CATALOGUE: Final[dict[str, CatalogueEntry]] = {entry.name: entry for entry in _ENTRIES}
"""Every model that can be downloaded, by name."""


def entry(name: str) -> CatalogueEntry:
    """The catalogue's entry of that name.

    Raises:
        UsageError: there is nothing to download under that name.
    """
    if name not in CATALOGUE:
        raise UsageError(
            f"There is nothing to download for {name!r}.",
            hint="Models with downloads: " + ", ".join(CATALOGUE) + ".",
        )
    return CATALOGUE[name]


def weights(name: str) -> tuple[Path, ...]:
    """The files of a model on this machine, in the catalogue's order, checksums verified.

    ``$CHORDTOOL_MODELS`` is looked at first, then the user's cache.

    Raises:
        ModelUnavailableError: a file is not here, or its content is not the published one.
        UsageError: the catalogue has no such model.
    """
    return tuple(_present(name, status(file)) for file in entry(name).files)


def _present(name: str, found: FileStatus) -> Path:
    if found.path is None:
        raise ModelUnavailableError(
            f"The weights of the model {name!r} are not on this machine.",
            hint=f"Run: chordtool models download {name}",
        )
    if found.state != "ready":
        raise ModelUnavailableError(
            f"{found.path} is not the file that was published: its checksum differs.",
            hint=f"Run: chordtool models download {name}",
        )
    return found.path


@dataclass(frozen=True)
class FileStatus:
    """What was found of one file."""

    file: WeightFile
    path: Path | None
    """Where it is; ``None`` if it is missing."""
    state: str
    """``"ready"``, ``"missing"``, or ``"damaged"``: there, but not what was published."""


def status(file: WeightFile, searched: Iterable[Path] | None = None) -> FileStatus:
    """Look for a file and check its content; a genuine one wins over a damaged one.

    Args:
        file: which.
        searched: models folders; :func:`folders` by default.

    Raises:
        ModelUnavailableError: it is there and cannot be read.
    """
    damaged = None
    for folder in folders() if searched is None else searched:
        path = folder / file.name
        try:
            there = path.is_file()
        except OSError as error:  # a folder that keeps to itself what is in it
            raise _unreadable(path, error) from None
        if not there:
            continue
        if is_genuine(path, file):
            return FileStatus(file, path, "ready")
        damaged = damaged or path
    return FileStatus(file, damaged, "damaged" if damaged else "missing")


def is_here(name: str) -> bool:
    """Whether all files of a model seem to be here, going by their sizes; nothing is read."""
    return all(
        any(_has_size(folder / file.name, file.size) for folder in folders())
        for file in entry(name).files
    )


def _has_size(path: Path, size: int | None) -> bool:
    try:
        return path.is_file() and size in (None, path.stat().st_size)
    except OSError:
        return False


def remove(name: str) -> tuple[Path, ...]:
    """Delete a model's files, finished or not, from the user's cache, and only from there.

    Returns:
        What was deleted; empty if nothing was there.

    Raises:
        ModelUnavailableError: a file cannot be deleted.
        UsageError: the catalogue has no such model.
    """
    gone = []
    for file in entry(name).files:
        target = cache_folder() / file.name
        for path in (target, part_path(target, file)):
            try:
                if path.is_file():
                    path.unlink()
                    gone.append(path)
            except OSError as error:
                raise ModelUnavailableError(
                    f"{path} cannot be deleted: {error.strerror}.",
                    hint="Check its permissions, and that no program is using it.",
                ) from None
    return tuple(gone)


def part_path(target: Path, file: WeightFile) -> Path:
    """Where the beginning of a file waits for the rest of its download.

    The checksum is in the name, so that a part is never completed with another file's rest.
    """
    return target.with_name(f"{target.name}.{file.sha256[:12]}.part")


def cache_folder() -> Path:
    """The folder that downloads go to."""
    import platformdirs

    return platformdirs.user_cache_path("chordtool", appauthor=False) / "models"


def folders() -> tuple[Path, ...]:
    """The folders that are searched for weights, first one first."""
    chosen = os.environ.get(MODELS_ENV)
    return (Path(at_home(chosen)), cache_folder()) if chosen else (cache_folder(),)


def is_genuine(path: Path, file: WeightFile) -> bool:
    """Whether a file on disk has the published content.

    A file is read once a process; again if its size or time of change differs.

    Raises:
        ModelUnavailableError: it cannot be read.
    """
    try:
        state = path.stat()
        if file.size is not None and state.st_size != file.size:
            return False
        return _digest(path, state.st_size, state.st_mtime_ns) == file.sha256
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"{path} cannot be read: {error.strerror}.", hint="Check its permissions."
    )


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    # Size and time are there for the cache's sake: a changed file is another key.
    return sha256_of(path)
