from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from chordtool.errors import TrainingError
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.training import checkpoint, loop
from chordtool.training.data import Segments
from chordtool.training.devices import Place
from chordtool.training.loop import Trainer
from chordtool.training.progress import COLUMNS, Silent
from chordtool.training.schedule import learning_rate
from chordtool.training.sources import corpus_source
from chordtool.training.split import split_songs
from chordtool.training.state import ALL_EPOCHS, EARLY_STOPPING, TIME
from tests.training.made import config, make_corpus

HERE = Place(torch.device("cpu"), torch.float32)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("loop") / "corpus")


class Small(nn.Module):
    """A student that learns the made-up corpus in seconds, with dropout for resume to get right."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(144, 32)
        self.dropout = nn.Dropout(0.2)
        self.outer = nn.Linear(32, 170)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.outer(self.dropout(self.inner(x).relu()))
        return output


def trainer(
    corpus: Path, folder: Path, student: nn.Module | None = None, **settings: Any
) -> Trainer:
    setting = config(**{"lr": 1e-2, "schedule": "constant", **settings})
    torch.manual_seed(1)
    card = ModelCard("x", "btc", FrontEnd(mean=-5.0, std=2.0))
    split = split_songs([corpus_source(corpus)], setting)
    train = Segments(split.train, setting, card.front_end)
    validation = Segments(split.validation, setting, card.front_end, training=False)
    folder.mkdir(exist_ok=True)
    return Trainer(setting, student or Small(), card, train, validation, HERE, folder)


def weights(folder: Path, name: str = checkpoint.LAST) -> dict[str, torch.Tensor]:
    return checkpoint.load_checkpoint(folder / name)[1]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


AUGMENTED: dict[str, Any] = {
    "gain_db": 6.0, "noise_db": 30.0, "mask_frames": 3, "jitter_frames": 6, "kd_alpha": 0.3,
    "ema_decay": 0.9, "epochs": 3, "schedule": "plateau",
}  # fmt: skip


def test_a_student_learns(corpus: Path, tmp_path: Path) -> None:
    outcome = trainer(corpus, tmp_path / "run", epochs=8).run()
    assert outcome.finished == ALL_EPOCHS
    assert outcome.best_accuracy > 0.9
    rows = outcome.state.history
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 3


def test_the_same_run_twice_gives_the_same_bits(corpus: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        trainer(corpus, tmp_path / name, **AUGMENTED).run()
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_a_run_with_its_corpus_on_the_device_gives_the_same_bits(
    corpus: Path, tmp_path: Path
) -> None:
    for wanted in ("never", "always"):
        trainer(corpus, tmp_path / wanted, keep_on_device=wanted, **AUGMENTED).run()
    assert same(weights(tmp_path / "never"), weights(tmp_path / "always"))


def test_a_finished_run_reads_no_corpus(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(corpus, tmp_path / "run", epochs=1).run()
    asked: list[object] = []
    monkeypatch.setattr(loop, "feed", lambda *args: asked.append(args))
    monkeypatch.setattr(loop, "graphed", lambda *args: asked.append(args))
    again = trainer(corpus, tmp_path / "run", epochs=1)
    assert again.resume()
    assert again.run().finished == ALL_EPOCHS
    assert asked == []


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_after(steps: int) -> Callable[[Trainer], None]:
    def arrange(run: Trainer) -> None:
        step, left = run._step, [steps]

        def counting(*args: Any) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            step(*args)

        run._step = counting  # type: ignore[method-assign]

    return arrange


@pytest.mark.parametrize("steps", [0, 1, 3, 4, 7])
@pytest.mark.parametrize(("every", "optimiser"), [(1, "adamw"), (3, "adamw"), (3, "muon")])
def test_going_on_after_the_end_of_the_process_gives_the_same_bits(
    corpus: Path, tmp_path: Path, steps: int, every: int, optimiser: str
) -> None:
    settings = {**AUGMENTED, "checkpoint_steps": every, "optimiser": optimiser}
    whole = trainer(corpus, tmp_path / "whole", **settings)
    expected = whole.run()
    run = trainer(corpus, tmp_path / "cut", **settings)
    killed_after(steps)(run)
    with pytest.raises(Killed):
        run.run()
    again = trainer(corpus, tmp_path / "cut", **settings)
    assert again.resume()
    outcome = again.run()
    for name in (checkpoint.LAST, checkpoint.BEST):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "cut", name))
    timeless = [c for c in COLUMNS if c not in ("minutes", "segments_per_second", "loading_share")]
    for ours, theirs in zip(outcome.state.history, expected.state.history, strict=True):
        assert {c: ours[c] for c in timeless} == {c: theirs[c] for c in timeless}
    assert replace_times(outcome) == replace_times(expected)


def replace_times(outcome: Any) -> tuple[Any, ...]:
    state = outcome.state
    return (state.epoch, state.step, state.plateau_scale, state.best_accuracy, state.best_epoch,
            state.epochs_without, state.finished)  # fmt: skip


def test_a_run_with_other_settings_does_not_go_on(corpus: Path, tmp_path: Path) -> None:
    trainer(corpus, tmp_path / "run").run()
    with pytest.raises(TrainingError, match="other settings: lr, seed") as caught:
        trainer(corpus, tmp_path / "run", lr=1e-3, seed=1).resume()
    assert "--overwrite" in caught.value.hint


def test_a_run_from_before_there_was_a_setting_goes_on_with_its_default(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer(corpus, tmp_path / "run").run()
    load = checkpoint.load_state

    def older(path: Path) -> Any:
        document, card, tensors = load(path)
        del document["method"]["sustain"]
        return document, card, tensors

    monkeypatch.setattr(checkpoint, "load_state", older)
    assert trainer(corpus, tmp_path / "run").resume()
    with pytest.raises(TrainingError, match="other settings: sustain"):
        trainer(corpus, tmp_path / "run", sustain=0.5).resume()


def test_a_run_with_other_data_does_not_go_on(corpus: Path, tmp_path: Path) -> None:
    trainer(corpus, tmp_path / "run").run()
    other = make_corpus(tmp_path / "other", seed=5)
    with pytest.raises(TrainingError, match="recordings or labels changed"):
        trainer(other, tmp_path / "run").resume()


def test_a_finished_run_stays_finished(corpus: Path, tmp_path: Path) -> None:
    trainer(corpus, tmp_path / "run").run()
    before = weights(tmp_path / "run")
    again = trainer(corpus, tmp_path / "run")
    assert again.resume()
    assert again.run().finished == ALL_EPOCHS
    assert same(before, weights(tmp_path / "run"))


def test_early_stopping_keeps_the_best(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run", epochs=40, patience=2, lr=0.0)
    outcome = run.run()
    assert (outcome.finished, outcome.best_epoch, outcome.state.epoch) == (EARLY_STOPPING, 1, 3)
    card, _ = checkpoint.load_checkpoint(tmp_path / "run")
    assert card.training["epoch"] == 1
    assert card.metrics["validation/frame_accuracy"] == outcome.best_accuracy


def test_a_time_limit_ends_a_call_and_the_next_goes_on(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run", max_minutes=1e-9)
    outcome = run.run()
    assert (outcome.finished, outcome.state.step) == (TIME, 1)
    trainer(corpus, tmp_path / "whole").run()
    again = trainer(corpus, tmp_path / "run")
    assert again.resume()
    again.run()
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_a_run_stopped_after_the_last_batch_of_an_epoch_has_the_same_history(
    corpus: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 2, "schedule": "cosine", "lr_end": 1e-4}
    whole = trainer(corpus, tmp_path / "whole", **settings).run().state
    run = trainer(corpus, tmp_path / "run", **settings)
    run._halted = lambda: run.state.batch == whole.step // 2  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert (run.state.batch, run.state.history) == (whole.step // 2, [])
    again = trainer(corpus, tmp_path / "run", **settings)
    assert again.resume()
    timeless = ("epoch", "step", "lr", "train_loss", "validation_loss")
    found = again.run().state.history
    assert [[row[k] for k in timeless] for row in found] == [
        [row[k] for k in timeless] for row in whole.history
    ]


@pytest.mark.parametrize("bad_step", [0, 2])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    corpus: Path, tmp_path: Path, bad_step: int
) -> None:
    student = Small()
    run = trainer(corpus, tmp_path / "run", student, checkpoint_steps=1)

    def poison(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output * float("nan") if run.state.step == bad_step else output

    student.register_forward_hook(poison)
    with pytest.raises(
        TrainingError, match=rf"loss is not finite in epoch 1, batch {bad_step + 1} "
    ) as caught:
        run.run()
    assert "song-" in caught.value.message
    assert "last good state" in caught.value.hint
    document, _, tensors = checkpoint.load_state(tmp_path / "run" / checkpoint.STATE)
    assert document["progress"]["step"] == bad_step
    assert all(torch.isfinite(t).all() for t in tensors.values())


def test_a_gradient_that_is_not_finite_stops_the_run_too(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run")
    run.student.outer.weight.register_hook(lambda g: g * float("inf"))  # type: ignore[union-attr]
    with pytest.raises(TrainingError, match="gradient is not finite"):
        run.run()
    assert all(torch.isfinite(p).all() for p in run.student.parameters())


def test_the_average_of_the_weights_is_what_is_kept(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run", ema_decay=0.5, epochs=1)
    seen: list[torch.Tensor] = []
    step = run._step

    def noting(*args: Any) -> None:
        step(*args)
        seen.append(run.student.state_dict()["outer.bias"].clone())

    start = run.student.state_dict()["outer.bias"].clone()
    run._step = noting  # type: ignore[method-assign]
    run.run()
    expected = start
    for number, now in enumerate(seen, 1):
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * now
    assert torch.allclose(weights(tmp_path / "run")["outer.bias"], expected, atol=1e-6)
    # Training went on with the weights themselves.
    assert torch.equal(run.student.state_dict()["outer.bias"], seen[-1])


def test_metrics_are_a_table_with_a_row_an_epoch(corpus: Path, tmp_path: Path) -> None:
    trainer(corpus, tmp_path / "run", epochs=3).run()
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == list(COLUMNS)
    assert 0 <= float(rows[0]["loading_share"]) < 1


def test_without_validation_songs_the_last_epoch_is_the_best(corpus: Path, tmp_path: Path) -> None:
    outcome = trainer(corpus, tmp_path / "run", validation_share=0.0, epochs=3).run()
    assert outcome.best_epoch == 3
    assert same(weights(tmp_path / "run"), weights(tmp_path / "run", checkpoint.BEST))


def test_a_batch_larger_than_the_epoch_is_the_whole_epoch(corpus: Path, tmp_path: Path) -> None:
    outcome = trainer(corpus, tmp_path / "run", batch_size=1000, epochs=1).run()
    assert outcome.state.step == 1


def test_the_rate_counts_the_segments_that_there_are(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []
    for size in (len(trainer(corpus, tmp_path / "0").train_segments), 1000):
        clock = SimpleNamespace(monotonic=itertools.count().__next__)
        monkeypatch.setattr("chordtool.training.loop.time", clock)
        outcome = trainer(corpus, tmp_path / f"{size}", batch_size=size, epochs=1).run()
        rates.append(outcome.state.history[0]["segments_per_second"])
    assert rates[0] == rates[1] > 0


def test_segments_that_fill_no_batch_are_left_out_of_the_epoch(
    corpus: Path, tmp_path: Path
) -> None:
    run = trainer(corpus, tmp_path / "run", batch_size=5, epochs=1)
    assert len(run.train_segments) == 12
    assert run.run().state.step == 2


def before_each_step(run: Trainer, look: Callable[[], Any]) -> list[Any]:
    """What is found whenever the optimiser is about to move."""
    found: list[Any] = []
    step = run.optimiser.step

    def looking(*args: Any) -> Any:
        found.append(look())
        return step(*args)

    run.optimiser.step = looking  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize(("clip_norm", "clipped"), [(0.01, True), (0.0, False)])
def test_gradients_are_clipped_if_there_is_a_limit(
    corpus: Path, tmp_path: Path, clip_norm: float, clipped: bool
) -> None:
    run = trainer(corpus, tmp_path / "run", clip_norm=clip_norm, epochs=1)

    def norm() -> float:
        return float(sum((p.grad**2).sum() for p in run.student.parameters() if p.grad is not None))

    squares = before_each_step(run, norm)
    run.run()
    assert len(squares) == 3
    assert all((square**0.5 < 0.0101) == clipped for square in squares)


def test_the_rate_of_each_step_is_the_schedules(corpus: Path, tmp_path: Path) -> None:
    run = trainer(corpus, tmp_path / "run", schedule="cosine", warmup_epochs=1.0, epochs=2)
    rates = before_each_step(run, lambda: float(run.optimiser.param_groups[0]["lr"]))
    run.run()
    assert rates == pytest.approx([learning_rate(run.config, k / 3) for k in range(6)])
    assert len(set(rates)) == 6


def test_neighbouring_steps_and_ranks_have_seeds_far_apart() -> None:
    seeds = {loop._step_seed(s, k, r) for s in range(4) for k in range(50) for r in range(4)}
    assert len(seeds) == 4 * 50 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_listener_is_told(corpus: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop, "_TELL_SECONDS", 0.0)
    told: list[dict[str, Any]] = []

    class Ears(Silent):
        def step(self, numbers: dict[str, float]) -> None:
            told.append(numbers)

    run = trainer(corpus, tmp_path / "run")
    run.listener = Ears()
    run.run()
    assert told[0]["batches"] == 3
    assert told[-1]["left"] == pytest.approx(0, abs=1e-6)
    assert {"loss", "accuracy", "lr", "rate", "left"} <= told[0].keys()


def test_half_precision_trains_too(corpus: Path, tmp_path: Path) -> None:
    setting = config(lr=1e-2, schedule="constant", epochs=4)
    run = trainer(corpus, tmp_path / "run", epochs=4)
    run.place = Place(torch.device("cpu"), torch.bfloat16)
    assert run.config == setting
    outcome = run.run()
    rows = outcome.state.history
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert all(t.dtype == torch.float32 for t in weights(tmp_path / "run").values())
