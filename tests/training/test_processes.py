"""What each of several processes does, in one: nothing but the sums goes from one to another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from chordtool.training.devices import Place
from chordtool.training.tensors import OnDevice
from chordtool.vocabulary import MASKED
from tests.training.made import make_corpus
from tests.training.test_loop import HERE, before_each_step, trainer

FIRST, SECOND = (replace(HERE, rank=rank, world=2) for rank in (0, 1))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("processes") / "corpus")


@pytest.fixture
def sums(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What was to be summed; several processes are given the first, as if it were their sum."""
    asked: list[Tensor] = []

    def noted(place: Place, values: Tensor) -> Tensor:
        asked.append(values.clone())
        return asked[0] if place.world > 1 else values

    monkeypatch.setattr(Place, "sum", noted)
    return asked


def test_gradients_averaged_over_processes_are_those_of_one(
    corpus: Path, tmp_path: Path, sums: list[Tensor]
) -> None:
    found = []
    for place in (HERE, FIRST, SECOND):
        run = trainer(corpus, tmp_path / "run", kd_alpha=0.3, clip_norm=0.0)
        run.student.dropout.p = 0.0
        run.place = place
        segments = run.train_segments
        batch = segments.gather(segments.epoch(0), place.rank, 4, place.world)
        batch.labels[batch.index == 0] = MASKED  # one of them has fewer labels than the other
        gradients = before_each_step(
            run, lambda run=run: [p.grad.clone() for p in run.student.parameters()]
        )
        run._step(OnDevice.copy(batch, place.device), 0.0)
        found += gradients
    whole, first, second = found
    torch.testing.assert_close(torch.stack(sums[1:]).sum(0), sums[0])
    for together, one, other in zip(whole, first, second, strict=True):
        torch.testing.assert_close((one + other) / 2, together)


def test_each_process_draws_its_own_dropout(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[set[int]] = []
    for rank in (0, 1):
        run = trainer(corpus, tmp_path / str(rank))
        run.place = replace(HERE, rank=rank)
        drawn: list[int] = []
        monkeypatch.setattr(torch, "manual_seed", drawn.append)
        run._epoch()
        seeds.append(set(drawn))
        monkeypatch.undo()
    assert [len(part) for part in seeds] == [3, 3]
    assert seeds[0].isdisjoint(seeds[1])


def test_processes_validate_each_segment_once(
    corpus: Path, tmp_path: Path, sums: list[Tensor]
) -> None:
    run = trainer(corpus, tmp_path / "run")
    for place in (HERE, FIRST, SECOND):
        run.place = place
        run.validate()
    whole, first, second = sums
    assert torch.allclose(first + second, whole)
    assert 0 < first[2] < whole[2]
