"""What the program says and does when it is asked to stop, or has no room."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chordtool import cli, parser

SCRIPT = """
import os, signal, sys
from chordtool import batch, cli
def stop(*arguments, **options):
    {action}
batch.run = stop
cli.main(["transcribe", "x.wav", "y.wav", "-o", sys.argv[1]])
"""


@pytest.mark.parametrize(
    "action",
    [
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGINT)",
        # What numpy makes of a Ctrl-C that comes while it is imported.
        "\n    try:\n        os.kill(os.getpid(), signal.SIGINT)\n    except KeyboardInterrupt:\n"
        "        raise ImportError('initialization failed') from None",
        # Dataclasses are made by running text; the interpreter kills itself with SIGINT at its
        # end if a plain KeyboardInterrupt went through that, even if it was caught.
        "exec('import os, signal; os.kill(os.getpid(), signal.SIGTERM)')",
    ],
)
def test_whoever_is_asked_to_stop_says_how_to_go_on(action: str, tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(SCRIPT.format(action=action))
    done = subprocess.run(
        [sys.executable, "-m", "stopped", str(tmp_path / "out")],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 130
    assert "Interrupted." in done.stderr
    assert "--skip-existing" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_import_is_not_cut_short_between_its_steps_but_right_after(number: int) -> None:
    script = f"""
import os, signal, time
from chordtool import cli
cli._mind_signals()
step = compile("os.kill(os.getpid(), number); done = True", "<frozen importlib._bootstrap>", "exec")
names = dict(os=os, number={int(number)})
try:
    exec(step, names)
    time.sleep(60)
except KeyboardInterrupt:
    print("done" in names, "interrupted", flush=True)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.stdout == "True interrupted\n", done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_after_the_work_ends_the_program_without_a_traceback(number: int) -> None:
    script = (
        "import atexit, os; from chordtool import cli; cli.run = lambda arguments: 0; "
        f"atexit.register(os.kill, os.getpid(), {int(number)}); cli.main(['transcribe'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == -number
    assert done.stderr == ""


def test_an_ignored_signal_stays_ignored() -> None:
    script = (
        "import signal, os; from chordtool import cli; signal.signal(signal.SIGINT, signal.SIG_IGN)"
        "; cli._mind_signals(); os.kill(os.getpid(), signal.SIGINT); print('here')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout == "here\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_errors_of_the_disk_come_with_advice(
    number: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(parser, "call", fail)
    assert cli.run(["info", "x"]) == 1
    said = capfd.readouterr().err
    assert os.strerror(number) in said
    assert "hint:" in said


def test_every_command_that_goes_on_is_a_command() -> None:
    assert set(cli.RESUMPTION) <= set(parser.COMMANDS)


def test_who_runs_a_command_from_python_keeps_their_own_signals() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert cli.run(["--version"]) == 0
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
