"""References and estimates on disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chordtool.audio import find_audio
from chordtool.errors import ChordtoolError, UsageError
from chordtool.formats import read_segments
from chordtool.matching import Matches, match_by_name
from chordtool.segments import Segment
from chordtool.walking import files_below

LABEL_SUFFIXES: Final = (".lab", ".jams", ".json")
"""Of chord files, best first: of several for one song the first is taken."""


@dataclass(frozen=True)
class Failure:
    """A file that could not be used."""

    path: Path
    message: str
    hint: str = ""

    @classmethod
    def of(cls, path: Path, error: ChordtoolError) -> Failure:
        """What an error says."""
        return cls(path, error.message, error.hint)


@dataclass(frozen=True)
class References:
    """The ground truth of a folder."""

    folder: Path
    segments: dict[str, tuple[Segment, ...]]
    """By name of the song: the path below the folder, without suffix."""
    files: dict[str, Path]
    """Where they come from."""
    failures: tuple[Failure, ...]

    def match(self, partners: Iterable[Path], folder: Path) -> Matches:
        """Find the partner of each reference by name.

        Those that could not be read have their partners, too, who are nobody else's.
        """
        broken = {failure.path for failure in self.failures}
        found = match_by_name(
            [*self.files.values(), *sorted(broken)], self.folder, partners, folder
        )
        return Matches(
            tuple(pair for pair in found.pairs if pair[0] not in broken),
            tuple(path for path in found.alone if path not in broken),
            found.unused,
        )

    def name_of(self, file: Path) -> str:
        """The song that a reference file is of."""
        return song_name(file, self.folder)


def song_name(file: Path, folder: Path) -> str:
    """The path below the folder, without suffix."""
    return file.relative_to(folder).with_suffix("").as_posix()


def label_files(folder: Path) -> list[Path]:
    """The chord files in a folder and below it, one for each song, sorted.

    Hidden ones are left out, and what is no file: to read a pipe may never end. Links are followed.

    Raises:
        UsageError: it is no folder, there are none, or a folder below it cannot be listed.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", hint="Give a folder of .lab files.")
    found = files_below(str(folder), lambda name: _suffix(name) in LABEL_SUFFIXES, _refuse)
    best: dict[Path, Path] = {}
    for path in sorted(found, key=lambda path: LABEL_SUFFIXES.index(_suffix(path))):
        best.setdefault(path.with_suffix(""), path)
    if not best:
        raise UsageError(
            f"There are no chord files in {folder}.",
            hint=f"They end in one of {', '.join(LABEL_SUFFIXES)}.",
        )
    return sorted(best.values())


def _suffix(file: str | Path) -> str:
    return Path(file).suffix.lower()


def _refuse(error: OSError) -> None:
    # Songs that are missing without a word would change what is learnt, and every score.
    raise UsageError(
        f"{error.filename} cannot be listed: {error.strerror}.",
        hint="Make it readable, or move it away.",
    )


def read_references(folder: Path, paths: Sequence[Path] | None = None) -> References:
    """Read the ground truth of a folder; a file that cannot be used is a failure of its own.

    Args:
        folder: with chord files in it and below it.
        paths: those of them that count, at least one; all if ``None``.

    Raises:
        UsageError: there is not one chord file that can be used.
    """
    segments: dict[str, tuple[Segment, ...]] = {}
    files: dict[str, Path] = {}
    failures: list[Failure] = []
    for path in label_files(folder) if paths is None else paths:
        name = song_name(path, folder)
        try:
            segments[name], files[name] = _read_reference(path), path
        except ChordtoolError as error:
            failures.append(Failure.of(path, error))
    if not segments:
        raise UsageError(
            f"None of the chord files in {folder} can be used: {failures[0].message}",
            hint=failures[0].hint,
        )
    return References(folder, segments, files, tuple(failures))


def _read_reference(path: Path) -> tuple[Segment, ...]:
    # What comes before the first segment is not annotated, so it cannot be right or wrong.
    segments = read_segments(path)
    if not segments:
        raise UsageError(f"{path} labels nothing.", hint="It has no segment with a length.")
    return segments


def read_estimates(
    references: References, folder: Path
) -> tuple[dict[str, tuple[Segment, ...]], Matches, list[Failure]]:
    """Read the chord files of a folder that belong to the references.

    Raises:
        UsageError: there are none in it.
    """
    matches = references.match(label_files(folder), folder)
    found: dict[str, tuple[Segment, ...]] = {}
    failures: list[Failure] = []
    for reference, path in matches.pairs:
        try:
            found[references.name_of(reference)] = read_segments(path)
        except ChordtoolError as error:
            failures.append(Failure.of(path, error))
    return found, matches, failures


def match_audio(references: References, folder: Path | None) -> Matches:
    """Find each reference's recording, in a folder or beside it.

    Raises:
        UsageError: there is none at all.
    """
    place = folder or references.folder
    recordings = [path for path in find_audio([place]) if path.is_file()]
    matches = references.match(recordings, place)
    if not matches.pairs:
        raise UsageError(
            f"None of the labels in {references.folder} has a recording in {place}.",
            hint="They belong together by name: song.lab and song.mp3. Say where with --audio.",
        )
    return matches
