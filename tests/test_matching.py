from __future__ import annotations

from pathlib import Path

import pytest

from chordtool.errors import UsageError
from chordtool.matching import match_by_name, song_names

A, B = Path("labels"), Path("music")


def found(files: list[str], partners: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    matches = match_by_name([A / f for f in files], A, [B / p for p in partners], B)
    pairs = {f.relative_to(A).as_posix(): p.relative_to(B).as_posix() for f, p in matches.pairs}
    alone = [f.relative_to(A).as_posix() for f in matches.alone]
    return pairs, alone, [p.relative_to(B).as_posix() for p in matches.unused]


def test_the_same_path_belongs_together_whatever_the_suffix() -> None:
    pairs, alone, unused = found(["a/x.lab", "b/x.lab"], ["b/x.mp3", "a/x.flac"])
    assert pairs == {"a/x.lab": "a/x.flac", "b/x.lab": "b/x.mp3"}
    assert (alone, unused) == ([], [])


def test_the_only_one_of_a_stem_belongs_wherever_it_is() -> None:
    pairs, alone, unused = found(["x.lab"], ["deep/er/x.mp3", "y.mp3"])
    assert pairs == {"x.lab": "deep/er/x.mp3"}
    assert (alone, unused) == ([], ["y.mp3"])


def test_what_is_not_clear_stays_alone() -> None:
    pairs, alone, unused = found(["x.lab"], ["a/x.mp3", "b/x.mp3"])
    assert (pairs, alone, unused) == ({}, ["x.lab"], ["a/x.mp3", "b/x.mp3"])


def test_what_belongs_to_one_file_by_its_place_is_no_other_ones() -> None:
    """Albums whose tracks are called 01, with one recording missing."""
    pairs, alone, unused = found(["a/01.lab", "b/01.lab"], ["a/01.mp3"])
    assert (pairs, alone, unused) == ({"a/01.lab": "a/01.mp3"}, ["b/01.lab"], [])


def test_two_files_of_a_stem_do_not_share_what_lies_elsewhere() -> None:
    pairs, alone, unused = found(["a/01.lab", "b/01.lab"], ["c/01.mp3"])
    assert (pairs, alone, unused) == ({}, ["a/01.lab", "b/01.lab"], ["c/01.mp3"])


def test_of_two_files_in_one_place_the_first_is_taken() -> None:
    assert found(["x.lab"], ["x.flac", "x.mp3"])[0] == {"x.lab": "x.flac"}


def test_dots_in_names_are_part_of_them() -> None:
    assert found(["01. Song.lab"], ["01. Song.mp3", "01.mp3"])[0] == {
        "01. Song.lab": "01. Song.mp3"
    }


def test_songs_are_named_by_stem_folder_or_pattern() -> None:
    paths = [Path("a/01.mp3"), Path("b/01.mp3"), Path("c/hey.mp3")]
    assert song_names(paths, None) == ["a/01", "b/01", "hey"]
    versions = [Path("x/012-piano.wav"), Path("x/012-band.wav"), Path("x/odd.wav")]
    assert song_names(versions, r"^(\d+)-") == ["012", "012", "odd"]
    with pytest.raises(UsageError, match="regular expression"):
        song_names(versions, "(")


def test_a_stem_without_the_pattern_s_group_names_the_song_itself() -> None:
    versions = [Path("x/012-piano.wav"), Path("x/012-band.wav"), Path("x/odd.wav")]
    assert song_names(versions, r"^(\d+)?") == ["012", "012", "odd"]


def test_songs_have_the_same_names_whether_all_files_have_partners_or_not() -> None:
    """A run names the songs that have audio, and its split is later read beside all labels."""
    files = [A / "one/01.lab", A / "two/01.lab", A / "two/02.lab"]
    partners = [B / "one/01.mp3", B / "two/02.mp3"]
    matches = match_by_name(files, A, partners, B)
    assert [file for file, _ in matches.pairs] == [files[0], files[2]]
    assert matches.songs(None) == ["one/01", "02"]
    assert matches.songs(r"\d$") == ["1", "2"]
    assert song_names(files, None) == ["one/01", "two/01", "02"]
