from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from chordtool.evaluation import Bootstrap, evaluate
from chordtool.evaluation.comparing import compare
from tests.evaluation.made import song, worse


def mean_of(values: NDArray[np.float64]):  # type: ignore[no-untyped-def]
    def statistics(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return (weights @ values / weights.sum(axis=1))[:, None]

    return statistics


def test_ranges_agree_with_scipy() -> None:
    values = np.random.default_rng(0).beta(4, 2, 60)
    (found,) = Bootstrap(20_000, seed=1).intervals(mean_of(values), len(values))
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.002)


def test_ranges_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(300):
        (found,) = Bootstrap(400, seed).intervals(mean_of(rng.beta(4, 2, 40)), 40)
        held += found.low <= 4 / 6 <= found.high
    assert 0.88 < held / 300 < 0.98


def test_the_same_seed_gives_the_same_ranges_and_another_one_others() -> None:
    references = {str(i): song(i) for i in range(8)}
    estimates = {name: worse(found, 1) for name, found in references.items()}
    one, same, other = (
        evaluate(references, estimates, bootstrap=Bootstrap(200, seed)).intervals
        for seed in (7, 7, 8)
    )
    assert one == same
    assert one["root"].value == other["root"].value
    assert one["root"] != other["root"]


def test_drawing_in_portions_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(50)
    at_once = Bootstrap(500).intervals(mean_of(values), 50)
    monkeypatch.setattr("chordtool.evaluation.bootstrap._CELLS_AT_ONCE", 50 * 7)
    assert Bootstrap(500).intervals(mean_of(values), 50) == at_once


@pytest.mark.parametrize(("having", "known"), [((6, 9), True), ((0,), False), ((9,), False)])
def test_songs_are_counted_in_portions_too(
    having: tuple[int, ...], known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chordtool.evaluation.bootstrap._CELLS_AT_ONCE", 10 * 3)

    def statistics(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(weights[:, having].any(axis=1), 0.5, np.nan)[:, None]

    (found,) = Bootstrap(100).intervals(statistics, 10)
    assert math.isnan(found.low) != known


def test_one_song_has_no_range() -> None:
    scores = evaluate({"a": song(0)}, {"a": song(0)})
    assert scores["root"].value == 1.0
    assert math.isnan(scores["root"].low)
    assert not scores["root"].excludes_zero


def test_what_one_song_alone_has_is_without_a_range() -> None:
    """Nine songs of suspended chords say nothing of major and minor."""
    vague = tuple(replace(s, label="F:sus4") for s in song(0))
    references = {"a": song(1), **{str(n): vague for n in range(9)}}
    wrong = {**references, "a": worse(song(1), 0, 1.0)}
    scored = {n: evaluate(references, e) for n, e in (("wrong", wrong), ("right", references))}
    assert math.isnan(scored["wrong"]["majmin"].low)
    assert not math.isnan(scored["wrong"]["root"].low)
    difference = compare(scored).differences()["right"]
    assert difference["majmin"].value > 0
    assert not difference["majmin"].excludes_zero
    assert math.isnan(difference["mean"].low)


def test_draws_without_a_value_do_not_spoil_the_range() -> None:
    def sometimes(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        value = np.where(weights[:, :2].any(axis=1), 0.25, np.nan)
        return np.column_stack([value, np.full(len(weights), np.nan)])

    known, unknown = Bootstrap(100).intervals(sometimes, 5)
    assert (known.low, known.high) == (0.25, 0.25)
    assert math.isnan(unknown.low)
