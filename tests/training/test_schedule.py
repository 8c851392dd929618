from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from chordtool.training.config import DistillConfig, FinetuneConfig
from chordtool.training.schedule import learning_rate
from chordtool.training.state import ALL_EPOCHS, EARLY_STOPPING, RunState
from tests.training.made import config


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 1e-4), (5, 2e-4), (10, 3e-4), (55, 1.505e-4), (100, 1e-6)]
)
def test_stage_one_warms_up_and_follows_a_cosine(epoch: float, rate: float) -> None:
    assert learning_rate(DistillConfig(), epoch) == pytest.approx(rate, rel=1e-9)


def test_the_cosine_moves_with_every_batch() -> None:
    rates = [learning_rate(DistillConfig(), 20 + k / 100) for k in range(100)]
    assert all(a > b for a, b in pairwise(rates))


def test_stage_two_decays_on_plateaus_down_to_its_floor() -> None:
    assert learning_rate(FinetuneConfig(), 3) == 1e-5
    assert learning_rate(FinetuneConfig(), 3, 0.9) == pytest.approx(9e-6)
    assert learning_rate(FinetuneConfig(), 3, 1e-9) == 1e-6


def test_a_rate_below_the_floor_is_not_raised_to_it() -> None:
    assert learning_rate(FinetuneConfig(lr=5e-7), 3, 0.9) == 5e-7


def test_a_constant_rate_stays() -> None:
    assert learning_rate(config(schedule="constant", lr=5e-4), 1.5) == 5e-4


def test_a_warm_up_as_long_as_the_run_ends_at_the_peak() -> None:
    setting = config(warmup_epochs=2.0, epochs=2)
    assert learning_rate(setting, 1.0) == pytest.approx(2e-4)
    assert learning_rate(setting, 2.0) == setting.lr_end


def ended(accuracies: Sequence[float | None], **settings: object) -> RunState:
    state = RunState()
    for accuracy in accuracies:
        state.end_epoch({}, accuracy, config(**settings))
    return state


def test_each_epoch_without_improvement_lowers_the_rate_by_a_tenth() -> None:
    state = ended([0.5, 0.4, 0.5, 0.6, 0.6], schedule="plateau", epochs=50)
    assert state.plateau_scale == pytest.approx(0.9**3)
    assert (state.best_epoch, state.best_accuracy) == (4, 0.6)


def test_a_run_stops_after_its_patience() -> None:
    assert ended([0.5, 0.4, 0.4], patience=3, epochs=50).finished == ""
    assert ended([0.5, 0.4, 0.4, 0.4], patience=3, epochs=50).finished == EARLY_STOPPING


def test_an_improvement_gives_a_run_its_whole_patience_again() -> None:
    state = ended([0.5, 0.4, 0.4, 0.6, 0.5, 0.5], patience=3, epochs=50)
    assert (state.finished, state.epochs_without) == ("", 2)


def test_without_validation_songs_every_epoch_is_the_best_and_has_no_accuracy() -> None:
    state = ended([None, None], patience=1, epochs=50)
    assert (state.best_epoch, state.best_accuracy, state.finished) == (2, -1.0, "")


def test_without_patience_a_run_goes_to_its_last_epoch() -> None:
    assert ended([0.5, 0.4, 0.4], patience=0, epochs=4).finished == ""
    assert ended([0.5, 0.4, 0.4, 0.4], patience=0, epochs=4).finished == ALL_EPOCHS
