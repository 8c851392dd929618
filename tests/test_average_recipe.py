"""The average of runs is what arithmetic says, and only of runs that belong together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from chordtool.errors import ChordtoolError
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.training import checkpoint
from recipes.average import average

CARD = ModelCard("x", "btc", FrontEnd(mean=-7.0, std=2.0), metrics={"validation/loss": 0.5})


def run(folder: Path, value: float, width: int = 3, card: ModelCard = CARD) -> Path:
    folder.mkdir()
    for name in ("split.json", "config.json"):
        (folder / name).write_text(f'{{"of": "{folder.name}"}}')
    checkpoint.save_checkpoint(folder / checkpoint.BEST, {"w": torch.full((width,), value)}, card)
    return folder


def test_shares_weigh_the_runs(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 1.0), run(tmp_path / "b", 5.0)]
    average(runs, [3, 1], tmp_path / "c")
    card, weights = checkpoint.load_checkpoint(tmp_path / "c")
    assert card == replace(CARD, metrics={})
    torch.testing.assert_close(weights["w"], torch.full((3,), 2.0))
    assert (tmp_path / "c" / "split.json").read_text() == '{"of": "a"}'


def test_the_last_checkpoint_of_a_run_can_be_named(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 1.0), run(tmp_path / "b", 5.0)]
    last = runs[1] / checkpoint.LAST
    checkpoint.save_checkpoint(last, {"w": torch.full((3,), 9.0)}, CARD)
    average([runs[0], last], [1, 1], tmp_path / "c")
    torch.testing.assert_close(
        checkpoint.load_checkpoint(tmp_path / "c")[1]["w"], torch.full((3,), 5.0)
    )


def test_a_share_below_0_goes_on_from_that_run_beyond_the_other(tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 1.0), run(tmp_path / "b", 5.0)]
    average(runs, [1.5, -0.5], tmp_path / "c")
    torch.testing.assert_close(
        checkpoint.load_checkpoint(tmp_path / "c")[1]["w"], torch.full((3,), -1.0)
    )


@pytest.mark.parametrize(
    "shares", [[], [1], [1, 0], [1, -1], [-2, 1], [1, float("nan")], [1, float("inf")]]
)
def test_each_run_needs_a_share(shares: list[float], tmp_path: Path) -> None:
    runs = [run(tmp_path / "a", 1.0), run(tmp_path / "b", 5.0)]
    with pytest.raises(ChordtoolError, match="needs a share"):
        average(runs, shares, tmp_path / "c")


def test_students_that_differ_have_no_average(tmp_path: Path) -> None:
    first = run(tmp_path / "a", 1.0)
    others = (
        run(tmp_path / "b", 1.0, width=4),
        run(tmp_path / "d", 1.0, card=replace(CARD, front_end=FrontEnd(mean=-6.0, std=2.0))),
    )
    for other in others:
        with pytest.raises(ChordtoolError, match="not of one kind"):
            average([first, other], [1, 1], tmp_path / "c")
    assert not (tmp_path / "c").exists()
