from __future__ import annotations

import pytest

from chordtool.errors import UsageError
from chordtool.evaluation import Bootstrap, Scores, compare, evaluate
from chordtool.evaluation.scores import STATISTICS
from tests.evaluation.made import song, worse

REFERENCES = {f"{i:02}": song(i) for i in range(16)}


def system(errors: float, seed: int = 0) -> Scores:
    estimates = {
        name: worse(found, seed + i, errors) for i, (name, found) in enumerate(REFERENCES.items())
    }
    return evaluate(REFERENCES, estimates, bootstrap=Bootstrap(500))


def test_a_difference_is_that_of_the_values() -> None:
    good, bad = system(0.1), system(0.5)
    differences = compare({"good": good, "bad": bad}).differences()
    assert list(differences) == ["bad"]
    for name in STATISTICS:
        expected = bad[name].value - good[name].value
        assert differences["bad"][name].value == pytest.approx(expected, abs=1e-12)
    assert differences["bad"]["mean"].excludes_zero
    assert differences["bad"]["mean"].high < 0


def test_a_system_does_not_differ_from_itself() -> None:
    same = system(0.3)
    found = compare({"a": same, "b": same}).differences()["b"]
    assert all((f.value, f.low, f.high) == (0.0, 0.0, 0.0) for f in found.values())


def test_pairing_sees_what_separate_ranges_do_not() -> None:
    """The same estimates with one more mistake in each song: surely worse, by little."""
    base = system(0.4)
    estimates = {name: worse(found, i, 0.4) for i, (name, found) in enumerate(REFERENCES.items())}
    spoilt = {name: found[2:] for name, found in estimates.items()}
    other = evaluate(REFERENCES, spoilt, bootstrap=Bootstrap(500))
    found = compare({"base": base, "spoilt": other}).differences()["spoilt"]["root"]
    assert found.high < 0
    assert other["root"].high > base["root"].low


def test_only_songs_that_all_systems_have_count() -> None:
    everything = system(0.2)
    some = everything.only(["01", "02", "03"])
    comparison = compare({"a": everything, "b": some})
    assert [song.name for song in comparison.systems["a"].songs] == ["01", "02", "03"]
    assert len(comparison.left_out) == 13
    with pytest.raises(UsageError):
        compare({"a": everything.only(["01"]), "b": everything.only(["02"])})
