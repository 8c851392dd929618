from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from chordtool.cli import run
from chordtool.commands.training_display import show_outcome
from chordtool.errors import ExitCode, UsageError
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.training.config import DistillConfig
from chordtool.training.progress import Display, TensorBoard, clock
from chordtool.training.state import Outcome, RunState
from tests.training.made import SMALL, make_corpus, make_songs

TINY = {**SMALL, "batch_size": 3, "segment_frames": 6, "stride": 6, "epochs": 1}

CARD = ModelCard("x", "btc", FrontEnd())


def options(**settings: object) -> list[str]:
    pairs = {**TINY, **settings}.items()
    return [word for k, v in pairs for word in ("--" + k.replace("_", "-"), str(v))]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("commands") / "corpus", n=4, frames=12)


@pytest.fixture(autouse=True)
def no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHORDTOOL_CONFIG", "")


def test_distill_says_where_the_student_is(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(["distill", "--corpus", str(corpus), "-o", str(folder), *options()]) == ExitCode.OK
    out, err = capsys.readouterr()
    assert out == f"{folder / 'best.safetensors'}\n"
    for words in ("Training on 3 recordings", "validating on 1", "epoch 1: loss", "segments/s",
                  "Ended (all epochs)"):  # fmt: skip
        assert words in err
    again = run(["distill", "--corpus", str(corpus), "-o", str(folder), *options()])
    assert again == ExitCode.OK
    assert "is finished" in capsys.readouterr().err


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_finished_run_whose_student_is_lost_says_so(
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    harm: Callable[[Path], object],
) -> None:
    folder = tmp_path / "run"
    call = ["distill", "--corpus", str(corpus), "-o", str(folder), *options()]
    run(call)
    harm(folder / "best.safetensors")
    capsys.readouterr()
    assert run(call) == ExitCode.SOME_FAILED
    out, err = capsys.readouterr()
    assert out == ""
    assert "its student is lost" in err
    assert "--overwrite" in err
    assert run([*call, "--overwrite"]) == ExitCode.OK


def test_a_run_that_nobody_validated_says_so(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["distill", "--corpus", str(corpus), "-o", str(tmp_path / "run")]
    assert run([*call, *options(validation_share=0.0)]) == ExitCode.OK
    err = capsys.readouterr().err
    assert "no songs validated it" in err
    assert "-100" not in err


def test_recordings_that_failed_are_told_at_the_end_by_a_table_and_the_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = make_songs(tmp_path / "songs", n=4, seconds=1.2)
    broken = [songs / f"broken-{number}.wav" for number in range(25)]
    for file in broken:
        file.write_bytes(b"")
        file.with_suffix(".lab").write_text("0 1 C\n")
    call = ["finetune", "--from-scratch", "--labels", str(songs), "-o", str(tmp_path / "run")]
    for _ in range(2):  # a run that is finished says it again
        assert run([*call, *options()]) == ExitCode.SOME_FAILED
        out, err = capsys.readouterr()
        assert out == f"{tmp_path / 'run' / 'best.safetensors'}\n"
        table = err.partition("25 failed:")[2]
        assert all(file.name in table for file in broken)
        assert "corpus info" not in table


def test_settings_of_a_run_are_read_back_and_options_win(corpus: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(["distill", "--corpus", str(corpus), "-o", str(first), *options(seed=7)])
    assert run(["distill", "--config", str(first), "--lr", "0.002", "-o", str(second)]) == 0
    old, new = (json.loads((p / "config.json").read_text()) for p in (first, second))
    assert new == {**old, "lr": 0.002}


def test_finetune_lists_what_did_not_match(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    songs = make_songs(tmp_path / "songs", n=4, seconds=1.2)
    (songs / "lonely.lab").write_text("0 1 C\n")
    arguments = ["finetune", "--from-scratch", "--labels", str(songs), "-o", str(tmp_path / "run"),
                 "--pitch-low", "0", "--pitch-high", "0"]  # fmt: skip
    assert run([*arguments, *options()]) == ExitCode.OK
    err = capsys.readouterr().err
    assert "4 recordings with labels" in err
    assert "1 label files have no audio" in err
    assert "lonely.lab" in err


@pytest.mark.parametrize("arguments", [["--lr", "-1"], ["--loss", "l2"], ["--epochs", "0"]])
def test_a_setting_that_makes_no_sense_is_usage(
    corpus: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["distill", "--corpus", str(corpus), "-o", str(tmp_path / "run"), *arguments]
    assert run(command) == ExitCode.USAGE
    assert arguments[0] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_every_setting_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import fields

    from typer.main import get_command

    from chordtool.parser import build
    from chordtool.training.config import DistillConfig, FinetuneConfig

    for name, kind in (("distill", DistillConfig), ("finetune", FinetuneConfig)):
        command = get_command(build(name)).commands[name]  # type: ignore[attr-defined]
        known = {option for p in command.params for option in p.opts}
        for f in fields(kind):
            assert "--" + f.name.replace("_", "-") in known
        assert {"--config", "--output", "--overwrite", "--tensorboard"} <= known


@pytest.mark.parametrize(
    ("command", "metavars"),
    [
        ("distill", {"--corpus": "CORPUS|DIR", "--teacher": "NAME|FILE.onnx", "--student": "NAME",
                     "--split": "RUN|FILE", "--loss": "NAME", "--song-pattern": "REGEX"}),
        ("finetune", {"--student": "RUN|FILE|NAME", "--labels": "DIR", "--audio": "DIR|CORPUS",
                      "--replay": "CORPUS", "--cache": "DIR", "--teacher": "NAME|FILE.onnx",
                      "--split": "RUN|FILE", "--device": "NAME"}),
    ],
)  # fmt: skip
def test_help_says_what_an_option_takes(
    command: str, metavars: dict[str, str], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "200")
    assert run([command, "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for option, metavar in metavars.items():
        assert re.search(rf"{option} +{re.escape(metavar)} ", shown), option
    assert re.search(r"--lr .*\[default: (0\.0003|1e-05)\]", shown)
    texts = [line for line in shown.splitlines() if "<str>" in line or "TEXT" in line]
    assert all("--licence" in line for line in texts), texts


def test_a_default_that_is_given_wins_over_the_settings_of_a_run(
    corpus: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    run(["distill", "--corpus", str(corpus), "-o", str(first), *options(lr=0.002)])
    assert run(["distill", "--config", str(first), "--lr", "0.0003", "-o", str(second)]) == 0
    assert json.loads((second / "config.json").read_text())["lr"] == DistillConfig().lr


def test_plain_output_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    display = Display()
    display.message("Training [on] 3")
    display.step(
        {"epoch": 0, "epochs": 2, "batch": 3, "batches": 9, "loss": 1.5, "accuracy": 0.25,
         "lr": 1e-4, "rate": 12.0, "left": 3700.0}
    )  # fmt: skip
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "Training [on] 3" in err
    assert "epoch 1/2" in err
    assert "25.00%" in err
    assert "1:01:40 left" in err


def test_names_of_files_reach_the_terminal_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Display().message("1 label files have no audio: \x1b[31mevil\udce9.lab")
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert "[31mevil" in err


def test_one_of_several_processes_speaks_for_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = RunState(best_epoch=1)
    failed = (("song.wav", "It is empty."),)
    for leads in (True, False):
        outcome = Outcome("all epochs", 0.5, 1, state, CARD, failed, leads=leads)
        assert show_outcome(outcome, tmp_path) == ExitCode.SOME_FAILED
        out, err = capsys.readouterr()
        assert out == (f"{tmp_path / 'best.safetensors'}\n" if leads else "")
        assert ("1 failed" in err) == leads


def test_time_is_shown_in_hours_minutes_and_seconds() -> None:
    assert [clock(s) for s in (-1, 0, 59.6, 3600)] == ["0:00:00", "0:00:00", "0:01:00", "1:00:00"]


def test_tensorboard_is_written_or_asked_for(tmp_path: Path) -> None:
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(UsageError, match="TensorBoard is not installed") as caught:
            TensorBoard(tmp_path)
        assert "chordtool[tensorboard]" in caught.value.hint
        return
    check_board(tmp_path)


def test_tensorboard_does_not_make_the_run_s_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is not empty, and no run's, is refused."""

    class Writer:
        def __init__(self, folder: str) -> None:
            Path(folder).mkdir(parents=True)

        def add_scalar(self, name: str, value: float, epoch: int) -> None:
            written.append(name)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    written: list[str] = []
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    call = ["distill", "--corpus", str(corpus), "-o", str(tmp_path / "run"), *options()]
    assert run([*call, "--tensorboard"]) == ExitCode.OK
    assert "train_loss" in written


def check_board(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    row = dict.fromkeys(("lr", "train_loss", "train_accuracy", "segments_per_second"), 0.5)
    board.epoch({**row, "epoch": 1, "validation_loss": None, "validation_accuracy": None,
                 "loading_share": 0.1})  # fmt: skip
    board.close()
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("option", ["-o", "--corpus", "--config", "--split", "--teacher"])
def test_a_name_that_is_empty_is_misuse(
    option: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """As a path, it would be the folder where the program was started, with what lies there."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    call = ["distill", "--corpus", str(corpus), "-o", str(tmp_path / "run"), *options()]
    assert run([*call, option, ""]) == ExitCode.USAGE
    assert "names nothing" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["here"]
    assert list(tmp_path.joinpath("here").iterdir()) == []
    assert run(["export", str(tmp_path), "-o", ""]) == ExitCode.USAGE
