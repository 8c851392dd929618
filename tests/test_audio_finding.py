"""Which recordings the paths on a command line mean."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chordtool.audio import AUDIO_SUFFIXES, find_audio
from chordtool.errors import AudioError, UsageError
from tests.audio_errors import assert_a_clear_error


@pytest.fixture
def library(tmp_path: Path) -> Path:
    for name in (
        "b.mp3",
        "a.WAV",
        "cover.jpg",
        ".hidden.mp3",
        "disc 2/c.flac",
        "disc 2/deep/d.opus",
        ".trash/e.mp3",
        "notes/readme.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def names(found: list[Path], top: Path) -> list[str]:
    return [path.relative_to(top).as_posix() for path in found]


def test_a_folder_stands_for_the_recordings_below_it(library: Path) -> None:
    expected = ["a.WAV", "b.mp3", "disc 2/c.flac", "disc 2/deep/d.opus"]
    assert names(find_audio([library]), library) == expected


def test_a_loop_of_links_ends(library: Path) -> None:
    (library / "disc 2" / "up").symlink_to(library)
    (library / "disc 2" / "here").symlink_to(".")
    assert len(find_audio([library])) == 4


@pytest.mark.skipif(os.name != "posix", reason="no such files")
def test_pipes_and_devices_are_not_waited_for(library: Path) -> None:
    os.mkfifo(library / "player.mp3")
    (library / "silence.wav").symlink_to("/dev/zero")
    (library / "gone.mp3").symlink_to("nowhere")
    found = names(find_audio([library, f"{library}/*.[mw]*"]), library)
    assert found == ["a.WAV", "b.mp3", "gone.mp3", "disc 2/c.flac", "disc 2/deep/d.opus"]


def test_links_out_of_a_folder_are_followed(
    library: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "z.mp3").touch()
    (library / "link").symlink_to(elsewhere)
    assert names(find_audio([library]), library)[-1] == "link/z.mp3"


def test_patterns_are_expanded(library: Path) -> None:
    assert names(find_audio([f"{library}/*.mp3"]), library) == ["b.mp3"]
    assert names(find_audio([f"{library}/**/*.opus"]), library) == ["disc 2/deep/d.opus"]
    assert names(find_audio([f"{library}/disc*"]), library) == [
        "disc 2/c.flac",
        "disc 2/deep/d.opus",
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(library: Path) -> None:
    (library / "what [live].mp3").touch()
    assert names(find_audio([library / "what [live].mp3"]), library) == ["what [live].mp3"]


def test_a_named_file_is_taken_whatever_its_suffix(library: Path) -> None:
    assert names(find_audio([library / "cover.jpg", library / ".hidden.mp3"]), library) == [
        "cover.jpg",
        ".hidden.mp3",
    ]


def test_each_recording_comes_once_in_the_order_given(library: Path) -> None:
    found = find_audio([library / "b.mp3", library, str(library / "a.WAV"), "-"])
    assert names(found[:2], library) == ["b.mp3", "a.WAV"]
    assert len(found) == 5
    assert found[-1] == Path("-")


def test_what_is_missing_stays_unless_the_caller_is_strict(library: Path) -> None:
    for missing in (library / "no.mp3", library / "notes", f"{library}/*.xyz"):
        assert find_audio([missing]) == [Path(missing)]
        assert_a_clear_error(Path(missing))
        with pytest.raises(AudioError, match="no recording"):
            find_audio([library, missing], strict=True)


def test_no_paths_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        find_audio([])


def test_an_empty_path_is_not_the_folder_where_one_is(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(library)
    with pytest.raises(UsageError, match="no name"):
        find_audio(["b.mp3", ""])


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".mp3", ".wav", ".flac", ".ogg", ".opus", ".m4a", ".mp4", ".webm"} <= AUDIO_SUFFIXES
    assert all(s == s.lower() and s.startswith(".") for s in AUDIO_SUFFIXES)
