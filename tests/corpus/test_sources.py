from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.corpus.sources import Shard, find_sources
from chordtool.errors import ChordtoolError, UsageError


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_paths_are_absolute_and_each_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "a" / "one.wav")
    touch(tmp_path / "a" / "cover.jpg")
    monkeypatch.chdir(tmp_path)
    found, problems = find_sources(["a", "a/one.wav", str(tmp_path / "a"), "a/../a/one.wav"])
    assert found == [str(tmp_path / "a" / "one.wav")]
    assert problems == []


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    touch(tmp_path / "one.wav")
    (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to("self")
    found, _ = find_sources([str(tmp_path)])
    assert found == [str(tmp_path / "one.wav")]


@pytest.mark.parametrize("name", ["two\nlines.wav", 'quo"te.wav', "\x1b[31m.wav", "ü.wav"])
def test_odd_names_are_found(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    assert find_sources([str(tmp_path)])[0] == [str(tmp_path / name)]


@pytest.mark.skipif(sys.platform == "darwin", reason="the file system refuses such names")
def test_names_that_are_no_text_are_found(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    os.close(os.open(name, os.O_CREAT))
    assert find_sources([str(tmp_path)])[0] == [os.fsdecode(name)]


def test_what_is_missing_stays_to_fail_on_its_own(tmp_path: Path) -> None:
    assert find_sources([str(tmp_path / "none.wav")])[0] == [str(tmp_path / "none.wav")]


def test_a_folder_without_recordings_is_a_problem(tmp_path: Path) -> None:
    assert find_sources([str(tmp_path)]) == ([], [(str(tmp_path), "It holds no recordings.")])


def test_a_folder_that_cannot_be_listed_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "open" / "one.wav")
    closed = tmp_path / "closed"
    touch(closed / "two.wav")
    listing = os.scandir

    def scandir(path: str) -> object:
        # Root may list anything, so that permissions alone would prove nothing.
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return listing(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found, problems = find_sources([str(tmp_path)])
    assert found == [str(tmp_path / "open" / "one.wav")]
    assert problems == [(str(closed), "It cannot be listed: Permission denied.")]


def test_a_list_holds_lines(tmp_path: Path) -> None:
    touch(tmp_path / "one.wav")
    touch(tmp_path / "two.wav")
    names = tmp_path / "list.txt"
    names.write_text(f"{tmp_path}/one.wav\r\n\n{tmp_path}/two.wav\n")
    found, _ = find_sources([], from_file=str(names))
    assert found == [str(tmp_path / "one.wav"), str(tmp_path / "two.wav")]


def test_a_list_with_zero_bytes_takes_any_name(tmp_path: Path) -> None:
    odd = touch(tmp_path / "two\nlines.wav")
    names = tmp_path / "list.bin"
    names.write_bytes(os.fsencode(odd) + b"\0")
    assert find_sources([], from_file=str(names))[0] == [str(odd)]


def test_an_empty_or_missing_list_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError):
        find_sources([], from_file=str(tmp_path / "empty"))
    with pytest.raises(ChordtoolError):
        find_sources([], from_file=str(tmp_path / "none"))
    with pytest.raises(UsageError):
        find_sources([])


@given(st.lists(st.text(), max_size=30, unique=True), st.integers(1, 9))
def test_each_path_is_in_one_shard(paths: list[str], count: int) -> None:
    shards = [Shard(i + 1, count) for i in range(count)]
    assert all(sum(shard.has(path) for shard in shards) == 1 for path in paths)


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Shard.parse(text)


def test_shards_are_read() -> None:
    assert Shard.parse("2/8") == Shard(2, 8)
