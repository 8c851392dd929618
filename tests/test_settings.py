from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.core import TyperGroup
from typer.main import get_command

from chordtool import cli, parser, settings
from chordtool.corpus.request import Request
from chordtool.errors import ExitCode, UsageError
from chordtool.settings import Setting
from chordtool.training.config import DistillConfig, FinetuneConfig

KNOWN = ("sing", "choir")
SEEN: list[dict[str, object]] = []


def sing(
    song: Annotated[str, typer.Argument()],
    voices: Annotated[int, typer.Option("-n", "--voices", min=1)] = 1,
    key: Annotated[str | None, typer.Option("--in-key")] = None,
    verses: Annotated[list[str] | None, typer.Option("--verse")] = None,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> None:
    SEEN.append({"song": song, "voices": voices, "key": key, "verses": verses, "loud": loud})


def rehearse(hours: Annotated[float, typer.Option("--hours")] = 1.0) -> None:
    SEEN.append({"hours": hours})


def program() -> TyperGroup:
    """A program with a command and a group."""
    choir = typer.Typer()
    choir.command()(rehearse)
    choir.command()(sing)
    app = typer.Typer()
    app.command()(sing)
    app.add_typer(choir, name="choir")
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> Path:
    """The settings file, not there yet, and no variable of ours."""
    for variable in settings.GENERAL.values():
        # Set and unset, so that what the code under test sets is taken back afterwards.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    path = tmp_path / "config.toml"
    monkeypatch.setattr(settings, "config_path", lambda: path)
    SEEN.clear()
    return path


def call(*arguments: str) -> dict[str, object]:
    """What a command was called with."""
    group = program()
    defaults = settings.for_call(group, KNOWN, arguments[:1])
    group(args=list(arguments), prog_name="x", standalone_mode=False, default_map=defaults)
    return SEEN[-1]


def test_without_a_file_and_variables_all_is_as_it_comes() -> None:
    assert call("sing", "la") == {
        "song": "la",
        "voices": 1,
        "key": None,
        "verses": None,
        "loud": False,
    }


def test_a_flag_wins_over_a_variable_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[sing]\nvoices = 2\n")
    assert call("sing", "la")["voices"] == 2
    monkeypatch.setenv("CHORDTOOL_SING_VOICES", "3")
    assert call("sing", "la")["voices"] == 3
    assert call("sing", "la", "-n", "4")["voices"] == 4


def test_keys_and_variables_are_named_like_the_flags(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[sing]\nin-key = "G"\nverse = ["one", "two"]\nloud = true\n')
    seen = call("sing", "la")
    assert (seen["key"], seen["verses"], seen["loud"]) == ("G", ["one", "two"], True)
    monkeypatch.setenv("CHORDTOOL_SING_IN_KEY", "D")
    monkeypatch.setenv("CHORDTOOL_SING_VERSE", "three four")
    monkeypatch.setenv("CHORDTOOL_SING_LOUD", "0")
    seen = call("sing", "la")
    assert (seen["key"], seen["verses"], seen["loud"]) == ("D", ["three", "four"], False)


def test_a_path_in_the_file_may_begin_at_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    file.write_text('[sing]\nin-key = "~/chords/"\nverse = ["~", "~G", "a~/b"]\n')
    seen = call("sing", "la")
    assert (seen["key"], seen["verses"]) == ("/home/me/chords/", ["/home/me", "~G", "a~/b"])


def test_the_home_of_nobody_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(settings.CONFIG_ENV, "~no-such-user/config.toml")
    assert cli.run(["models", "path"]) == ExitCode.USAGE
    monkeypatch.setenv(settings.CONFIG_ENV, "")
    monkeypatch.setenv("CHORDTOOL_MODELS", "~no-such-user/models")
    assert cli.run(["models", "path"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert "The settings file ~no-such-user/config.toml is not there" in shown.err
    assert shown.out.startswith("~no-such-user/models\n")


def test_one_value_will_do_for_an_option_that_takes_several(file: Path) -> None:
    file.write_text('[sing]\nverse = "only"\n')
    assert call("sing", "la")["verses"] == ["only"]


def test_commands_in_groups_have_tables_in_tables(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("[choir.rehearse]\nhours = 2\n")
    assert call("choir", "rehearse") == {"hours": 2.0}
    monkeypatch.setenv("CHORDTOOL_CHOIR_REHEARSE_HOURS", "2.5")
    assert call("choir", "rehearse") == {"hours": 2.5}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sing = 3", "sing = 3"),
        ("[sign]", "unknown key sign"),
        ("[sing]\nvoises = 2", r"unknown key sing\.voises"),
        ("[sing]\nvoices = 'many'", r"sing\.voices = 'many'"),
        ("[sing]\nvoices = 0", r"sing\.voices = 0"),
        ("[sing]\nvoices = true", r"sing\.voices = True"),
        ("[sing]\nvoices = [1]", r"sing\.voices = \[1\]"),
        ("[sing]\nvoices = {a = 1}", r"sing\.voices"),
        ("[sing]\nloud = 'yes'", r"sing\.loud = 'yes', which should be true or false"),
        ("[sing]\nverse = [['a']]", r"sing\.verse"),
        ("[sing]\nsong = 'la'", r"unknown key sing\.song"),
        ("[sing]\nhelp = true", r"unknown key sing\.help"),
        ("models-folder = 3", "models-folder = 3"),
        ("plugins = [1]", r"plugins = \[1\]"),
        ("[sing", "not TOML"),
        ("a" * 10, "not TOML"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(text: str, named: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(UsageError, match=named) as caught:
        call("sing", "la")
    assert str(file) in caught.value.message
    assert caught.value.hint
    assert not SEEN


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\x00", b"a = " + b"[" * 100_000, bytes(2 << 20)])
def test_a_hostile_file_is_a_clear_error(data: bytes, file: Path) -> None:
    file.write_bytes(data)
    with pytest.raises(UsageError, match="settings file"):
        call("sing", "la")


@given(st.binary(max_size=200))
def test_no_file_makes_it_crash(data: bytes) -> None:
    path = Path("config.toml")
    try:
        document = settings._parse(path, data)
        settings.defaults(document, path, program(), KNOWN, ["sing"])
    except UsageError:
        pass


def test_a_folder_in_its_place_is_a_clear_error(file: Path) -> None:
    file.mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        call("sing", "la")


def test_mistakes_in_other_commands_tables_do_not_stop_this_one(file: Path) -> None:
    file.write_text("[choir]\nnonsense = 1\n[sing]\nvoices = 2\n")
    assert call("sing", "la")["voices"] == 2


def test_general_settings_become_variables_unless_those_are_set(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('models-folder = "/a"\nplugins = ["x", "y"]\n')
    monkeypatch.setenv("CHORDTOOL_MODELS", "/b")
    call("sing", "la")
    assert os.environ["CHORDTOOL_MODELS"] == "/b"
    assert os.environ["CHORDTOOL_PLUGINS"] == "x,y"


def test_in_force_says_what_holds_and_why(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('plugins = "x"\n[sing]\nvoices = 2\nin-key = "G"\n')
    monkeypatch.setenv("CHORDTOOL_SING_VOICES", "3")
    found = settings.in_force(settings.read(file), file, program(), KNOWN)
    by_name = {setting.name: setting for setting in found}
    variable = "CHORDTOOL_SING_VOICES"
    assert by_name["sing.voices"] == Setting("sing.voices", 3, "environment", variable)
    assert by_name["sing.in-key"] == Setting("sing.in-key", "G", "file", "CHORDTOOL_SING_IN_KEY")
    assert by_name["sing.loud"] == Setting("sing.loud", False, "default", "CHORDTOOL_SING_LOUD")
    assert by_name["plugins"].source == "file"
    assert by_name["models-folder"].source == "default"
    assert by_name["choir.rehearse.hours"].value == 1.0
    assert "sing.song" not in by_name
    assert "sing.help" not in by_name


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("CHORDTOOL_SING_VOICES", "many", "sing.voices"),
        ("CHORDTOOL_SING_VOICES", "0", "sing.voices"),
        ("CHORDTOOL_SING_LOUD", "rather", "sing.loud"),
        ("CHORDTOOL_CHOIR_REHEARSE_HOURS", "all day", "choir.rehearse.hours"),
    ],
)
def test_a_variable_that_its_option_does_not_take_is_a_fault_of_that_setting(
    variable: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    found = settings.in_force({}, None, program(), KNOWN)
    faulty = [(s.name, s.value, s.source) for s in found if s.fault]
    assert faulty == [(name, value, "environment")]


def test_variables_are_shown_as_they_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_SING_LOUD", "yes")
    monkeypatch.setenv("CHORDTOOL_SING_VERSE", "one two")
    found = {s.name: s for s in settings.in_force({}, None, program(), KNOWN)}
    assert found["sing.loud"].value is True
    assert found["sing.verse"].value == ["one", "two"]


def test_the_file_is_where_the_platform_keeps_such_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.delenv(settings.CONFIG_ENV, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = settings.config_path()
    assert path is not None
    assert path.parts[-2:] == ("chordtool", "config.toml")
    if sys.platform == "linux":
        assert path.is_relative_to(tmp_path)


def test_a_home_that_is_no_folder_has_no_settings() -> None:
    assert settings.read(Path(os.devnull) / "chordtool" / "config.toml") == {}


def test_another_file_can_be_named_and_must_be_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv(settings.CONFIG_ENV, str(tmp_path / "mine.toml"))
    with pytest.raises(UsageError, match="not there"):
        settings.read(settings.config_path())
    monkeypatch.setenv(settings.CONFIG_ENV, "")
    assert settings.config_path() is None
    assert settings.read(None) == {}


def test_the_real_program_obeys_the_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("[models.list]\njson = true\n")
    assert cli.run(["models", "list"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out)
    file.write_text("[models.list]\njsn = true\n")
    assert cli.run(["models", "list"]) == ExitCode.USAGE
    assert "Did you mean models.list.json?" in capsys.readouterr().err


def test_every_option_of_the_real_program_can_be_set_under_a_name_of_its_own() -> None:
    found = settings.in_force({}, None, parser.whole_program(), parser.COMMANDS)
    assert len({setting.variable for setting in found}) == len(found)
    assert len({setting.name for setting in found}) == len(found)
    assert {"transcribe.model", "transcribe.jobs", "models.download.offline"} <= {
        setting.name for setting in found
    }


def test_config_shows_what_differs_and_all_on_request(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[transcribe]\njobs = 2\n")
    assert cli.run(["config", "--json"]) == ExitCode.OK
    shown = json.loads(capsys.readouterr().out)
    assert shown["file"] == {"path": str(file), "exists": True}
    assert [(s["name"], s["value"], s["source"]) for s in shown["settings"]] == [
        ("transcribe.jobs", 2, "file")
    ]
    assert cli.run(["config", "--all", "--json"]) == ExitCode.OK
    everything = json.loads(capsys.readouterr().out)["settings"]
    assert "transcribe.model" in {setting["name"] for setting in everything}


def test_config_shows_the_defaults_that_a_call_would_have(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["config", "--all", "--json"]) == ExitCode.OK
    shown = {s["name"]: s for s in json.loads(capsys.readouterr().out)["settings"]}
    assert all(setting["source"] == "default" for setting in shown.values())
    for kind in (DistillConfig, FinetuneConfig):
        for name, value in kind().to_dict().items():
            setting = shown[f"{kind().command}.{name.replace('_', '-')}"]
            assert setting["value"] == (None if value == () else value), setting["name"]
    assert shown["label-corpus.teacher"]["value"] == list(Request.teachers)
    assert shown["transcribe.format"]["value"] == ["lab"]


def test_config_has_no_table_where_all_is_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["config"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--all shows them" in shown.err


def test_config_names_a_mistake_in_any_commands_table(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("[models.download]\noffline = 1\n")
    assert cli.run(["config"]) == ExitCode.USAGE
    assert "models.download.offline = 1" in capsys.readouterr().err
    assert cli.run(["config", "path"]) == ExitCode.OK
    assert capsys.readouterr().out.strip() == str(file)


def test_config_names_a_variable_that_is_wrong_or_misspelt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHORDTOOL_TRANSCRIBE_JOBS", "many")
    monkeypatch.setenv("CHORDTOOL_TRANSCRIBE_MODLE", "lv")
    assert cli.run(["config"]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert "many" in shown.out, "what is in force is shown, too"
    assert "error: CHORDTOOL_TRANSCRIBE_JOBS is 'many'" in shown.err
    assert "CHORDTOOL_TRANSCRIBE_MODLE is set, but no setting has this name" in shown.err
    assert cli.run(["config", "--json"]) == ExitCode.USAGE
    (setting,) = json.loads(capsys.readouterr().out)["settings"]
    assert setting["value"] == "many"
    assert setting["fault"]
