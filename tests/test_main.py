"""How the program ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from chordtool import cli, parser
from chordtool.errors import ExitCode

FULL = Path("/dev/full")
CLIP = Path(__file__).resolve().parents[1] / "examples/clip.mp3"


def end(before: str, *arguments: str, stdout: int | None = subprocess.PIPE) -> tuple[int, str, str]:
    """Status, output and complaints of a program in which something else goes on, too."""
    script = f"import sys\nfrom chordtool.__main__ import main\n{before}\nmain()\n"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_what_was_written_and_the_status_arrive() -> None:
    status, output, complaints = end("", "--version")
    assert (status, complaints) == (ExitCode.OK, "")
    assert output.startswith("chordtool ")
    status, output, complaints = end("", "transcribe", "/nonesuch.mp3")
    assert (status, output) == (ExitCode.SOME_FAILED, "")
    assert complaints.startswith("error: /nonesuch.mp3 does not exist.")


def test_what_asked_to_be_called_at_the_end_is_called_once() -> None:
    status, output, _ = end("import atexit; atexit.register(print, 'the end')", "--version")
    assert status == ExitCode.OK
    assert output.count("the end") == 1


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_standard_streams_may_be_closed(closed: str, tmp_path: Path) -> None:
    target = tmp_path / "song.lab"
    program = f"exec {shlex.quote(sys.executable)} -m chordtool"
    for arguments in (f"transcribe {CLIP} -o {target}", f"transcribe {CLIP}", "--version"):
        done = subprocess.run(
            ["/bin/sh", "-c", f"{program} {arguments} {closed}"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert target.read_bytes().endswith(b"\n")


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a POSIX shell")
def test_chords_from_closed_standard_input_are_an_error() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.quote(sys.executable)} -m chordtool convert - - <&-"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (ExitCode.SOME_FAILED, "")
    assert done.stderr.startswith("error: Standard input is empty.\nhint: ")


def test_threads_are_waited_for() -> None:
    busy = (
        "import threading\n"
        "def last():\n    threading.main_thread().join()\n    print('late')\n"
        "threading.Thread(target=last).start()"
    )
    status, output, complaints = end(busy, "--version")
    assert (status, complaints) == (ExitCode.OK, "")
    assert output.endswith("late\n")


def test_a_profiler_gets_its_turn() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cProfile", "-m", "chordtool", "--version"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "function calls" in done.stdout


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
def test_output_that_finds_no_room_is_an_error() -> None:
    with FULL.open("w") as full:
        status, _, complaints = end("", "--version", stdout=full.fileno())
    assert status not in (ExitCode.OK, -6)
    assert "No space left on device" in complaints
    assert "Traceback" not in complaints


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["convert"], ExitCode.USAGE),
        (["transcribe", "/nonesuch.mp3"], ExitCode.SOME_FAILED),
        (["transcribe", str(CLIP), "--model", "nonesuch"], ExitCode.MODEL_UNAVAILABLE),
    ],
)
def test_the_status_arrives_where_complaints_find_no_room(
    arguments: list[str], expected: ExitCode
) -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "chordtool", *arguments],
            stdout=subprocess.PIPE, stderr=full.fileno(), check=False, timeout=120,
        )  # fmt: skip
    assert done.returncode == expected


def says(
    error: BaseException,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> str:
    """What is said where a command ends with an error."""

    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(parser, "call", fail)
    cli.run(arguments)
    return capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["distill", "run.toml", "-o", "out"], "The same command goes on where it was."),
        (
            ["distill", "run.toml", "--overwrite"],
            "The same command goes on where it was; without --overwrite, once it trains.",
        ),
        (["transcribe", "a", "b"], "With --skip-existing, the same command does the rest."),
        (["transcribe", "a", "b", "--overwrite"], ""),
        (["evaluate", "models"], ""),
        (["transcribe", "distill", "b"], "With --skip-existing, the same command does the rest."),
        (["export", "--overwrite", "distill"], ""),
    ],
)
def test_an_interrupted_command_says_how_it_goes_on(
    arguments: list[str],
    hint: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    said = says(KeyboardInterrupt(), arguments, monkeypatch, capfd)
    assert said == "error: Interrupted.\n" + (f"hint: {hint}\n" if hint else "")


@pytest.mark.parametrize("command", parser.COMMANDS)
def test_fewer_jobs_are_advised_where_there_are_jobs(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    options = {name for p in parser.whole_program().commands[command].params for name in p.opts}
    said = says(MemoryError(), [command, "x", "y"], monkeypatch, capfd)
    assert "There is not enough memory." in said
    assert ("--jobs" in said) == ("--jobs" in options)
