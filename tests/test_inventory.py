from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from chordtool import catalogue, cli
from chordtool.catalogue import CATALOGUE, CatalogueEntry, WeightFile
from chordtool.errors import ExitCode
from tests.tiny_student import tiny_card, tiny_student

CONTENT = b"weights"
FILE = WeightFile(
    "crema/fake.onnx", "a/b", "0" * 40, "x", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)
)


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_variables: None) -> Path:
    """Where crema's one, made-up file is to be."""
    monkeypatch.setenv("CHORDTOOL_CONFIG", "")
    monkeypatch.setenv("CHORDTOOL_PLUGINS", "")
    monkeypatch.setenv("CHORDTOOL_MODELS_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(catalogue, "cache_folder", lambda: tmp_path)
    monkeypatch.setitem(CATALOGUE, "crema", CatalogueEntry("crema", (FILE,), "MIT", "Us.", "Fake."))
    return tmp_path / FILE.name


def put(path: Path, content: bytes = CONTENT) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


Ask = Callable[..., Any]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    """The JSON that a command answers with."""

    def run(*arguments: str, status: ExitCode = ExitCode.OK) -> Any:
        assert cli.run(["models", *arguments, "--json"]) == status
        return json.loads(capsys.readouterr().out, parse_constant=pytest.fail)

    return run


def states(entries: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {entry["name"]: entry["state"] for entry in entries}


def test_list_tells_what_is_here(ask: Ask, target: Path) -> None:
    assert states(ask("list"))["crema"] == "missing"
    put(target)
    entry = {e["name"]: e for e in ask("list")}["crema"]
    assert entry == {
        "name": "crema",
        "package": "chordtool",
        "state": "ready",
        "size": len(CONTENT),
        "licence": "MIT",
        "description": "Fake.",
    }


def test_list_knows_every_name_that_the_package_registers(ask: Ask) -> None:
    assert {"btc", "crema", "default", "lv"} <= set(states(ask("list")))


def test_the_default_model_is_always_here(ask: Ask) -> None:
    entry = {e["name"]: e for e in ask("list")}["default"]
    assert entry["state"] == "ready"
    assert entry["size"] > 100_000


def test_verify_finds_damage_that_the_size_does_not_show(ask: Ask, target: Path) -> None:
    put(target)
    assert states(ask("verify")) == {FILE.name: "ready"}
    put(target, b"wEights")
    assert states(ask("verify", status=ExitCode.SOME_FAILED)) == {FILE.name: "damaged"}
    target.unlink()
    assert ask("verify") == []
    assert states(ask("verify", "crema", status=ExitCode.SOME_FAILED)) == {FILE.name: "missing"}


def test_show_gives_the_origin_and_the_reason_why_it_cannot_be_used(ask: Ask) -> None:
    shown = ask("show", "crema")
    assert shown["files"][0]["url"].endswith(f"/a/b/{'0' * 40}/x")
    assert shown["files"][0]["sha256"] == FILE.sha256
    assert shown["card"] is None
    assert "chordtool models download crema" in shown["problem"]


def test_show_tells_people_where_the_files_come_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "lv"]) == ExitCode.OK
    assert "downloaded from: github.com/K024/chordmini-web at 1a18e0b" in capsys.readouterr().out


def test_show_tells_people_which_version_answers(
    ask: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    version = ask("show", "default")["card"]["version"]
    assert cli.run(["models", "show", "default"]) == ExitCode.OK
    assert f"version: {version}" in capsys.readouterr().out.splitlines()


def test_show_gives_the_card_of_a_model_that_is_here(ask: Ask) -> None:
    shown = ask("show", "default")
    assert shown["problem"] == ""
    assert shown["card"]["vocabulary"] == "large"
    assert shown["card"]["licence"]


def test_show_of_a_foreign_card_is_json_and_leaves_the_terminal_alone(
    ask: Ask, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = {"songs\x1b]0;mine\x07": 0.5, "nothing": float("nan"), "all": float("inf")}
    card = tiny_card(metrics=metrics, training={"loss": float("nan")})
    path = tmp_path / "tiny.onnx"
    path.write_bytes(tiny_student(card))
    shown = ask("show", str(path))
    assert list(shown["card"]["metrics"].values()) == [None, None, 0.5]
    assert shown["card"]["training"] == {"loss": None}
    assert cli.run(["models", "show", str(path)]) == ExitCode.OK
    text = capsys.readouterr().out
    assert "songs\N{REPLACEMENT CHARACTER}]0;mine" in text
    assert "\x1b" not in text


def test_show_of_an_unknown_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "show", "cremo"]) == ExitCode.MODEL_UNAVAILABLE
    assert "Did you mean crema?" in capsys.readouterr().err


def test_a_name_that_is_empty_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["models", "path", ""]) == ExitCode.USAGE
    assert capsys.readouterr().out == ""


def test_path_prints_folders_or_files(ask: Ask, target: Path, tmp_path: Path) -> None:
    assert ask("path") == [str(tmp_path)]
    put(target)
    assert ask("path", "crema") == [str(target)]
    target.unlink()
    assert cli.run(["models", "path", "crema"]) == ExitCode.MODEL_UNAVAILABLE


def test_remove_deletes_and_says_what(ask: Ask, target: Path) -> None:
    put(target)
    assert ask("remove", "crema") == [str(target)]
    assert not target.exists()
    assert ask("remove", "crema") == []


def test_download_shows_the_licence_before_anything_is_fetched(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["models", "download", "crema", "--offline"]) == ExitCode.MODEL_UNAVAILABLE
    error = capsys.readouterr().err
    assert error.index("licence MIT") < error.index("offline")
    assert "github.com/a/b" in error


def test_download_of_what_is_here_asks_nobody(ask: Ask, target: Path) -> None:
    put(target)
    assert ask("download", "crema") == {"crema": [str(target)]}


def test_downloads_that_do_not_exist_are_a_usage_error() -> None:
    assert cli.run(["models", "download", "default"]) == ExitCode.USAGE


def test_where_nothing_is_there_it_says_so_instead_of_an_empty_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.run(["models", "verify"]) == ExitCode.OK
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "No weights have been downloaded.\n")


def test_remove_names_the_folder_that_it_leaves_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    (mine / "crema").mkdir(parents=True)
    (mine / FILE.name).write_bytes(CONTENT)
    monkeypatch.setenv("CHORDTOOL_MODELS", str(mine))
    assert cli.run(["models", "remove", "crema"]) == ExitCode.OK
    assert f"Nothing of it is in the cache, {tmp_path}." in capsys.readouterr().err
    assert (mine / FILE.name).is_file()


def test_tables_for_people_say_the_same(capsys: pytest.CaptureFixture[str], target: Path) -> None:
    put(target, b"wEights")
    assert cli.run(["models", "list"]) == ExitCode.OK
    assert cli.run(["models", "show", "crema"]) == ExitCode.OK
    assert cli.run(["models", "verify"]) == ExitCode.SOME_FAILED
    shown = capsys.readouterr().out
    assert "BSD-2-Clause" not in shown
    assert shown.count("damaged") == 2
    assert str(target) in shown


def test_a_folder_whose_name_is_empty_is_misuse(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(target)
    monkeypatch.chdir(target.parents[1])  # where the weights would be found
    assert cli.run(["models", "download", "crema", "--to", ""]) == ExitCode.USAGE
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "'--to': it names nothing" in shown.err
