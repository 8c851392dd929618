"""Many recordings to many files, whatever happens to one of them."""

from __future__ import annotations

import errno
import shutil
from io import FileIO
from pathlib import Path

import pytest

from chordtool import batch
from chordtool.audio import loading
from chordtool.cli import run
from chordtool.errors import ExitCode

CLIP = Path(__file__).resolve().parents[1] / "examples/clip.mp3"


class _BadDisk(FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("source", ["empty", "."])
@pytest.mark.parametrize("target", [".", "..", "chords/"])
def test_a_folder_without_recordings_fails_alone_wherever_results_go(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    source: str,
    target: str,
) -> None:
    (tmp_path / "here/empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert run(["transcribe", source, "-o", target]) == ExitCode.SOME_FAILED
    assert f"{source} is a folder without recordings" in capfd.readouterr().err
    shutil.copy(CLIP, tmp_path / "clip.mp3")
    assert run(["transcribe", source, "../clip.mp3", "-o", target, "-q"]) == ExitCode.SOME_FAILED
    assert (tmp_path / "here" / target / "clip.lab").is_file()


def test_results_stay_in_the_folder_that_was_named(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    sources = [Path("song.mp3"), Path("../other.mp3"), here / ".." / "third.mp3"]
    tasks, _ = batch.plan(sources, [Path(), here], Path("out"), ["lab"])
    targets = [task.outputs[0][1] for task in tasks]
    assert targets == [Path("out/song.lab"), Path("out/other.lab"), Path("out/third.lab")]


@pytest.mark.parametrize("ignores", [True, False])
def test_names_that_differ_in_case_only_are_one_where_the_disk_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignores: bool
) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(batch, "ignores_case", lambda folder: asked.append(folder) or ignores)
    sources = [Path(name) for name in ("a.mp3", "b.mp3", "A.flac", "a.wav")]
    tasks, failed = batch.plan(sources, [], tmp_path, ["lab", "csv"])
    assert [outcome.source.name for outcome in failed] == (
        ["A.flac", "a.wav"] if ignores else ["a.wav"]
    )
    assert "a.mp3" in failed[0].message
    assert len(tasks) + len(failed) == len(sources)
    assert asked == [tmp_path]
    batch.plan(sources[:2], [], tmp_path, ["lab"])
    assert asked == [tmp_path], "a disk is asked only where it matters"


def test_a_recording_on_a_bad_disk_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("bad.mp3", "good.mp3"):
        shutil.copy(CLIP, tmp_path / name)
    opened = loading._open_path

    def open_path(path: Path, name: str) -> FileIO:
        return _BadDisk(path, "rb") if path.name == "bad.mp3" else opened(path, name)

    monkeypatch.setattr(loading, "_open_path", open_path)
    tasks, _ = batch.plan(
        [tmp_path / "bad.mp3", tmp_path / "good.mp3"], [], tmp_path / "out", ["lab"]
    )
    bad, good = batch.run(tasks, batch.Settings())
    assert (bad.status, good.status) == (batch.FAILED, batch.DONE)
    assert "bad.mp3 cannot be read: Input/output error." in bad.message


def test_a_name_that_is_too_long_for_its_format_fails_alone(tmp_path: Path) -> None:
    long = tmp_path / f"{'x' * 251}.mp3"
    for song in (long, tmp_path / "good.mp3"):
        shutil.copy(CLIP, song)
    tasks, _ = batch.plan([long, tmp_path / "good.mp3"], [], tmp_path, ["json"])
    outcomes = {outcome.source.name: outcome for outcome in batch.run(tasks, batch.Settings())}
    assert outcomes["good.mp3"].status == batch.DONE
    assert outcomes[long.name].status == batch.FAILED
    assert outcomes[long.name].message.endswith("json cannot be written: File name too long.")
