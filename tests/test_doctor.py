from __future__ import annotations

import json
from pathlib import Path

import pytest

from chordtool import catalogue, cli, doctor
from chordtool.doctor import BROKEN, NOTE, OK, Finding, examine
from chordtool.errors import ExitCode, ModelUnavailableError, UsageError
from chordtool.settings import Setting


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> Path:
    monkeypatch.setenv("CHORDTOOL_CONFIG", "")
    monkeypatch.setenv("CHORDTOOL_PLUGINS", "")
    monkeypatch.setattr(catalogue, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def found(name: str) -> Finding:
    return next(finding for finding in examine() if finding.name == name)


def test_a_sound_installation_has_nothing_broken() -> None:
    assert [finding for finding in examine(lambda: []) if finding.state == BROKEN] == []


def test_versions_and_providers_are_told() -> None:
    assert found("onnxruntime providers").found.startswith("CPUExecutionProvider")
    for name in ("chordtool", "numpy", "libsndfile", "ffmpeg", "torch"):
        assert any(character.isdigit() for character in found(name).found)


def test_a_package_that_is_gone_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: ["nonesuch>=1", "tomli; python_version<'3'"])
    finding = found("nonesuch")
    assert finding.state == BROKEN
    assert "pip install" in finding.remedy
    assert all(f.name != "tomli" for f in examine())


def test_a_library_that_does_not_load_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise OSError(f"lib{name}.so: cannot open shared object file")

    monkeypatch.setattr(doctor, "import_module", fail)
    finding = found("libsndfile")
    assert finding.state == BROKEN
    assert "cannot open" in finding.found


def test_a_default_model_that_does_not_answer_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModelUnavailableError("It is gone.", hint="Bring it back.")

    monkeypatch.setattr(doctor, "load_model", fail)
    assert found("default model") == Finding(
        "default model", BROKEN, "It is gone.", "Bring it back."
    )


def test_weights_that_are_not_here_are_a_note_with_the_command_that_fetches_them() -> None:
    finding = found("model lv")
    assert (finding.state, finding.remedy) == (NOTE, "chordtool models download lv")


def test_damaged_weights_are_broken(cache: Path) -> None:
    (cache / "crema").mkdir(parents=True)
    (cache / "crema" / "crema-chord.onnx").write_bytes(b"half")
    finding = found("model crema")
    assert finding.state == BROKEN
    assert "crema-chord.onnx is damaged" in finding.found


def test_weights_that_are_right_are_ok(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", str(shared / "teachers"))
    assert found("model crema").state == OK


def test_a_models_folder_that_is_not_there_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", "/nonesuch")
    assert found("models folder").state == BROKEN


def test_a_models_folder_that_cannot_be_looked_at_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", str(tmp_path / ("y" * 300)))
    assert found("models folder").state == BROKEN
    assert found("model lv").state in (BROKEN, NOTE)


@pytest.mark.parametrize(
    ("value", "why"),
    [("nonesuch_module:ODD", "No module named"), ("json:dumps", "wrong kind: function")],
)
def test_a_plug_in_that_fails_is_broken_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, why: str
) -> None:
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[chordtool.formats]\nodd = {value}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("CHORDTOOL_PLUGINS")
    finding = found("format plug-in odd")
    assert finding.state == BROKEN
    assert why in finding.found
    assert finding.remedy == "Upgrade or uninstall bad."


def test_a_broken_settings_file_is_a_finding() -> None:
    def fail() -> list[object]:
        raise UsageError("It is wrong.", hint="Mend it.")

    findings = examine(fail)  # type: ignore[arg-type]
    assert findings[-1] == Finding("settings file", BROKEN, "It is wrong.", "Mend it.")


def test_variables_that_nothing_reads_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_TRANSCRIBE_JOB", "3")
    finding = examine(lambda: [])[-1]
    assert (finding.name, finding.state) == ("CHORDTOOL_TRANSCRIBE_JOB", NOTE)


def test_a_variable_that_its_option_does_not_take_is_broken() -> None:
    setting = Setting("a.b", "x", "environment", "CHORDTOOL_A_B", fault="'x' is no number")
    finding = next(f for f in examine(lambda: [setting]) if f.name == "CHORDTOOL_A_B")
    assert (finding.state, finding.found) == (BROKEN, "'x' is no number")


def test_the_exit_status_says_whether_anything_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "_default_model", lambda: Finding("default model", OK, "fine"))
    assert cli.run(["doctor"]) == ExitCode.OK
    assert "chordtool models download lv" in capsys.readouterr().out
    path = tmp_path / "config.toml"
    path.write_text("[transcribe]\njobs = 'x'\n")
    monkeypatch.setenv("CHORDTOOL_CONFIG", str(path))
    assert cli.run(["doctor", "--json"]) == ExitCode.SOME_FAILED
    findings = {f["name"]: f for f in json.loads(capsys.readouterr().out)}
    assert "transcribe.jobs = 'x'" in findings["settings file"]["found"]


def test_the_settings_files_models_folder_is_the_one_examined(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", "")
    monkeypatch.delenv("CHORDTOOL_MODELS")
    path = tmp_path / "config.toml"
    path.write_text(f"models-folder = '{tmp_path}'\n")
    monkeypatch.setenv("CHORDTOOL_CONFIG", str(path))
    cli.run(["doctor", "--json"])
    folders = [f for f in json.loads(capsys.readouterr().out) if f["name"] == "models folder"]
    assert folders[0]["found"] == str(tmp_path)
