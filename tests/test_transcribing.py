"""What goes to standard output, and what a target means."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from chordtool import batch, transcribing
from chordtool.cli import run
from chordtool.errors import ExitCode, UsageError

CLIP = Path(__file__).resolve().parents[1] / "examples/clip.mp3"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three recordings of which the second is none."""
    for name in ("a.mp3", "c.mp3"):
        shutil.copy(CLIP, tmp_path / name)
    (tmp_path / "b.mp3").write_bytes(b"no music" * 100)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_broken_recording_takes_no_other_from_standard_output(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["transcribe", ".", "-f", "jsonl"]) == ExitCode.SOME_FAILED
    shown = capfd.readouterr()
    assert [json.loads(line)["source"] for line in shown.out.splitlines()] == ["a.mp3", "c.mp3"]
    assert "b.mp3 holds no audio" in shown.err


def test_nothing_is_said_where_nothing_failed(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["transcribe", "a.mp3", "c.mp3", "-f", "jsonl"]) == ExitCode.OK
    assert capfd.readouterr().err == ""


def test_names_are_in_one_piece_however_long(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place = folder / "a word or two" / ("of a name that is too long for a line " * 3).strip()
    place.mkdir(parents=True)
    shutil.copy(CLIP, place / "song.mp3")
    song = str(place.relative_to(folder) / "song.mp3")
    assert run(["transcribe", song, "-o", "out/", "-v"]) == ExitCode.OK
    assert f"done    {song}\n" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="there are no names of descriptors")
def test_pipes_with_names_of_this_process_are_read_in_it(folder: Path) -> None:
    with CLIP.open("rb") as one, CLIP.open("rb") as other:
        pipes = [subprocess.Popen(["cat"], stdin=f, stdout=subprocess.PIPE) for f in (one, other)]
        names = [f"/dev/fd/{p.stdout.fileno()}" for p in pipes if p.stdout]
        assert run(["transcribe", "a.mp3", *names, "-o", "out/", "-j", "2"]) == ExitCode.OK
        for pipe in pipes:
            pipe.communicate()
    assert len(list((folder / "out").iterdir())) == 3


def test_what_is_known_is_written_at_once(folder: Path) -> None:
    out = io.BytesIO()
    request = transcribing.Request(sources=("a.mp3", "b.mp3", "c.mp3"), formats=("jsonl",))
    recordings = transcribing.for_stdout(request)
    outcomes = transcribing.to_stream(request, recordings, io.BytesIO(), out)
    lines = []
    for outcome in outcomes:
        lines.append((outcome.source.name, outcome.status, out.getvalue().count(b"\n")))
    assert lines == [
        ("a.mp3", batch.DONE, 1),
        ("b.mp3", batch.FAILED, 1),
        ("c.mp3", batch.DONE, 2),
    ]


def test_standard_input_may_be_one_of_several(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.BytesIO()
    request = transcribing.Request(sources=("-", "a.mp3"), formats=("jsonl",))
    recordings = transcribing.for_stdout(request)
    list(transcribing.to_stream(request, recordings, io.BytesIO(CLIP.read_bytes()), out))
    assert [json.loads(line)["source"] for line in out.getvalue().splitlines()] == ["-", "a.mp3"]


def test_a_file_that_is_there_is_no_folder(folder: Path) -> None:
    (folder / "result").write_text("mine")
    with pytest.raises(UsageError, match="result is a file") as raised:
        transcribing.plan(transcribing.Request(sources=("a.mp3",), output="result"))
    assert "more than one" not in raised.value.message
    assert "-o DIR/" in raised.value.hint


def test_an_empty_target_is_not_the_folder_where_one_is(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["transcribe", "a.mp3", "-o", ""]) == ExitCode.USAGE
    assert "-o names nothing" in capfd.readouterr().err
    assert not (folder / "a.lab").exists()
