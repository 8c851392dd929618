"""The shortcut of the call that most people make does what the parser would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chordtool import cli, parser, plain, transcribing
from chordtool.errors import ExitCode
from chordtool.hearing import UnderWay

ROOT = Path(__file__).resolve().parents[1]
CLIP = ROOT / "examples/clip.mp3"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_CONFIG", "")


def test_the_parser_and_the_shortcut_ask_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[transcribing.Request, object]] = []

    def note(request: transcribing.Request, stdin: object, begun: UnderWay | None) -> bytes:
        asked.append((request, begun and begun.source))
        return b""

    monkeypatch.setattr(transcribing, "to_bytes", note)
    assert parser.call(["transcribe", str(CLIP)]) == ExitCode.OK
    plain.transcribe(str(CLIP))
    by_parser, by_shortcut = asked
    assert by_parser == by_shortcut


@pytest.mark.parametrize("name", ["song.mp3", "a folder/", "*.mp3", "transcribe", "\udcff.wav"])
def test_a_song_alone_takes_the_shortcut(name: str) -> None:
    assert plain.song_of(["transcribe", name]) == name


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["transcribe"],
        ["transcribe", ""],
        ["transcribe", "-"],
        ["transcribe", "--help"],
        ["transcribe", "song.mp3", "-q"],
        ["transcribe", "song.mp3", "other.mp3"],
        ["info", "song.mp3"],
        ["-h", "song.mp3"],
    ],
)
def test_whoever_says_more_or_less_is_understood_by_the_parser(arguments: list[str]) -> None:
    assert plain.song_of(arguments) is None


@pytest.mark.parametrize("variable", ["CHORDTOOL_TRANSCRIBE_MODEL", "_CHORDTOOL_COMPLETE"])
def test_variables_have_their_say(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "anything")
    assert plain.song_of(["transcribe", "song.mp3"]) is None


@pytest.mark.parametrize("content", ["", "[transcribe]\nvocabulary = 'majmin'\n", None])
def test_a_settings_file_has_its_say(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("CHORDTOOL_CONFIG", str(file))
    assert plain.song_of(["transcribe", "song.mp3"]) is None


def test_the_users_own_settings_file_has_its_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHORDTOOL_CONFIG")
    file = tmp_path / "config.toml"
    monkeypatch.setattr("chordtool.settings.config_path", lambda: file)
    assert plain.song_of(["transcribe", "song.mp3"]) == "song.mp3"
    file.touch()
    assert plain.song_of(["transcribe", "song.mp3"]) is None
    monkeypatch.setattr("chordtool.settings.config_path", lambda: file / "below.toml")
    assert plain.song_of(["transcribe", "song.mp3"]) == "song.mp3"


def test_the_shortcut_goes_without_the_parser() -> None:
    program = (
        f"import sys\nfrom chordtool.cli import run\nassert run(['transcribe', {str(CLIP)!r}]) == 0"
        "\nassert not {'typer', 'click'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert found.returncode == 0, found.stderr.decode()
    assert found.stdout


def test_errors_are_shown_as_ever(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["transcribe", "/nonesuch.mp3"]) == ExitCode.SOME_FAILED
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: /nonesuch.mp3 does not exist.\nhint: ")
