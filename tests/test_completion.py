from __future__ import annotations

import subprocess
import sys

import pytest

from chordtool import cli, parser


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """What bash is offered for the last word of a line."""

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("_CHORDTOOL_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
        with pytest.raises(SystemExit):
            cli.run([])
        return capsys.readouterr().out.split()

    return ask


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("chordtool transc", ["transcribe"]),
        ("chordtool models do", ["download"]),
        ("chordtool transcribe --mod", ["--model"]),
        ("chordtool transcribe --model cr", ["crema"]),
        ("chordtool transcribe --format la", ["lab"]),
        ("chordtool transcribe --beat-tracker lib", ["librosa"]),
        ("chordtool convert --format sr", ["srt"]),
        ("chordtool models show de", ["default"]),
        ("chordtool models download ", ["btc", "lv", "crema"]),
        ("chordtool transcribe --vocabulary maj", ["majmin"]),
        ("chordtool distill --schedule c", ["cosine", "constant"]),
        ("chordtool label-corpus --teacher cr", ["crema"]),
    ],
)
def test_the_shell_is_offered(line: str, offered: list[str], complete) -> None:  # type: ignore[no-untyped-def]
    assert complete(line) == offered


def test_all_commands_are_offered(complete) -> None:  # type: ignore[no-untyped-def]
    assert complete("chordtool ") == list(parser.COMMANDS)


def test_a_broken_settings_file_does_not_stop_completion(
    complete,  # type: ignore[no-untyped-def]
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHORDTOOL_CONFIG", "/nonesuch.toml")
    assert complete("chordtool transcribe --model cr") == ["crema"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_the_shell_is_printed(shell: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "chordtool", "--show-completion", shell],
        capture_output=True,
        text=True,
        timeout=60,
        env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "_CHORDTOOL_COMPLETE" in result.stdout
