"""Fetch freely licensed music out of Debian's packages, for a teacher to label.

Usage: ``python -m recipes.debian_music [--out DIR] [--list FILE]``

Debian's section main holds nothing that may not be used commercially (its Free Software
Guidelines, number 6), and each package says in its ``copyright`` who made what under which
licence; that file is kept beside the music. ``debian_music.txt`` names the packages, and how many
hours of each are taken, so that no game's composer fills the corpus. Needs ``apt-get`` and
``dpkg-deb``, no root, and 5 GB of disk while the largest package is unpacked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile

from recipes.output import MANIFEST

OUT = Path("../data/debian-music")
LIST = Path(__file__).with_name("debian_music.txt")
SUFFIXES = (".ogg", ".oga", ".mp3", ".opus", ".flac")
"""What games keep music in; what is not compressed is effects."""
ARCHIVES = (".pk3", ".zip")
"""Games keep their files in these, which are zip files both."""
SECONDS = (40.0, 900.0)
"""Shorter sounds are effects and jingles; a longer one would be too much of one recording."""


@dataclass(frozen=True)
class Package:
    """What is taken of a Debian package."""

    name: str
    hours: float
    held_out: bool = False


@dataclass(frozen=True)
class Found:
    """A recording in an unpacked package."""

    path: Path
    inside: str
    """Where it lies in the package."""
    seconds: float
    sha256: str


def packages(text: str) -> tuple[Package, ...]:
    """Read lines of a name, hours and, perhaps, ``held-out``; ``#`` begins a comment.

    Raises:
        ValueError: a line is anything else.
    """
    found = []
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if not fields:
            continue
        if len(fields) not in (2, 3) or fields[2:] not in ([], ["held-out"]):
            raise ValueError(f"not a package, hours and 'held-out': {line!r}")
        found.append(Package(fields[0], float(fields[1]), len(fields) == 3))
    return tuple(found)


def download(package: str, folder: Path) -> Path:
    """Fetch a package into a folder that has no other.

    Raises:
        subprocess.CalledProcessError: it cannot be had.
    """
    # Root's apt-get would use a user of its own, who may not write here, and say so.
    command = ["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package]
    subprocess.run(command, cwd=folder, check=True)
    (deb,) = folder.glob("*.deb")
    return deb


def unpack(deb: Path, folder: Path) -> None:
    """Unpack a package, and the music in its archives beside them, in ``NAME.d``."""
    subprocess.run(["dpkg-deb", "-x", str(deb), str(folder)], check=True)
    for path in [p for p in sorted(folder.rglob("*")) if p.suffix in ARCHIVES]:
        if not zipfile.is_zipfile(path):
            continue
        with zipfile.ZipFile(path) as archive:
            music = [name for name in archive.namelist() if name.endswith(SUFFIXES)]
            archive.extractall(path.with_name(path.name + ".d"), music)


def recordings(folder: Path) -> Iterator[Found]:
    """The recordings below a folder whose length is within :data:`SECONDS`, each content once."""
    seen = set()
    for path in sorted(folder.rglob("*")):
        if path.suffix not in SUFFIXES or path.is_symlink() or not path.is_file():
            continue
        try:
            about = soundfile.info(str(path))
        except soundfile.LibsndfileError:
            continue  # an effect in a format that is no sound file's
        seconds = about.frames / about.samplerate
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if SECONDS[0] <= seconds <= SECONDS[1] and digest not in seen:
            seen.add(digest)
            yield Found(path, path.relative_to(folder).as_posix(), seconds, digest)


def choose(found: Sequence[Found], hours: float) -> list[Found]:
    """As many as fit into ``hours``, in the order of their hashes: drawn, and always the same."""
    taken: list[Found] = []
    left = hours * 3600
    for recording in sorted(found, key=lambda r: r.sha256):
        if recording.seconds < left:
            taken.append(recording)
            left -= recording.seconds
    return taken


def fetch(package: Package, out: Path) -> list[Found]:
    """Download a package and put what is taken of it into ``out``; its notice comes last.

    Raises:
        subprocess.CalledProcessError: the package cannot be had, or not be unpacked.
    """
    folder = out / ("held-out" if package.held_out else "music")
    with tempfile.TemporaryDirectory(dir=out) as name:
        work = Path(name)
        deb = download(package.name, work)
        unpack(deb, work / "tree")
        taken = choose(list(recordings(work / "tree")), package.hours)
        lines = []
        for found in taken:
            stem = f"{package.name}__{found.path.stem}_{found.sha256[:6]}"
            target = folder / (stem + found.path.suffix)
            shutil.move(found.path, target)
            line = {
                "file": target.relative_to(out).as_posix(),
                "seconds": round(found.seconds, 1),
                "package": deb.stem,
                "path": found.inside,
            }
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        # Last, so that a package that was interrupted is not in the manifest twice.
        with (out / MANIFEST).open("a", encoding="utf-8") as file:
            file.writelines(lines)
        notice = work / "tree/usr/share/doc" / package.name / "copyright"
        shutil.copyfile(notice, out / "copyright" / package.name)
    return taken


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the packages that are not there yet; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--list", type=Path, default=LIST)
    options = parser.parse_args(arguments)
    missing = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if missing:
        print(f"Debian's {' and '.join(missing)} cannot be found.", file=sys.stderr)
        return 3
    for name in ("held-out", "music", "copyright"):
        (options.out / name).mkdir(parents=True, exist_ok=True)
    failed = []
    for package in packages(options.list.read_text(encoding="utf-8")):
        # The notice is what is written last of a package.
        if (options.out / "copyright" / package.name).exists():
            continue
        try:
            taken = fetch(package, options.out)
        except subprocess.CalledProcessError:
            failed.append(package.name)
            continue
        minutes = sum(found.seconds for found in taken) / 60
        print(f"{package.name}: {len(taken)}, {minutes:.0f} min", file=sys.stderr)
    if failed:
        print(f"Not fetched: {', '.join(failed)}. Is apt-get update due?", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
