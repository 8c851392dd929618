from __future__ import annotations

import pytest
import torch
from torch import nn

from chordtool.training.devices import Place
from chordtool.training.muon import Muon
from chordtool.training.optimisers import empty_slots, make_optimiser
from tests.training.made import config

HERE = Place(torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("muon", Muon)])
def test_the_optimiser_is_the_one_that_was_asked_for(
    name: str, kind: type[torch.optim.Optimizer]
) -> None:
    student = nn.Linear(3, 2)
    setting = config(optimiser=name, lr=0.25, weight_decay=0.125)
    optimiser = make_optimiser(setting, student, HERE)
    assert type(optimiser) is kind
    (group,) = optimiser.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
    assert [id(p) for p in group["params"]] == [id(p) for p in student.parameters()]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_what_is_kept_of_a_parameter_is_known_before_the_first_step(name: str) -> None:
    student = nn.Linear(3, 2)
    optimiser = make_optimiser(config(optimiser=name), student, HERE)
    student(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    for parameter in student.parameters():
        kept = {k: v.shape for k, v in optimiser.state[parameter].items()}
        assert kept == {k: v.shape for k, v in empty_slots(optimiser, parameter).items()}
