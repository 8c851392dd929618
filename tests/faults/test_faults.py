"""A dozen faults, so that the harness and its promises stay alive; the long run tries hundreds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faults import Harness
from tests.faults.weights_server import serving

DOZEN = [
    ("transcribe", "kill"),
    ("transcribe", "terminate"),
    ("transcribe", "interrupt"),
    ("transcribe", "disk"),
    ("transcribe", "permissions"),
    ("models download", "kill"),
    ("models download", "interrupt"),
    ("models download", "disk"),
    ("models download", "corrupt"),
    ("label-corpus", "kill"),
    ("label-corpus", "disk"),
    ("label-corpus", "corrupt"),
]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving() as address:
        yield Harness(tmp_path_factory.mktemp("faults"), address)


@pytest.mark.parametrize(("name", "fault"), DOZEN)
def test_nothing_is_lost(harness: Harness, name: str, fault: str) -> None:
    if why := harness.possible(name, fault):
        pytest.skip(why)
    try:
        struck = harness.one(name, fault, seed=7)
    except OSError as error:
        pytest.skip(f"the fault cannot be made here: {error}")
    assert struck.lost == []


def test_the_harness_sees_what_is_lost(harness: Harness) -> None:
    scenario = harness.scenario("models download")
    before = dict(scenario.reference)
    scenario.reference["toy/words.json"] = "something else"
    try:
        assert any("not the undisturbed result" in why for why in _lost(harness))
    finally:
        scenario.reference = before


def _lost(harness: Harness) -> list[str]:
    return harness.one("models download", "kill", seed=8).lost


def test_what_a_fault_leaves_is_cleared_away(harness: Harness) -> None:
    assert not [p for p in Path(harness.folder).glob("label-corpus/*") if p.name != "fixtures"]
