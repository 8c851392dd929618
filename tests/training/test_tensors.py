from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from chordtool.frontend import FrontEnd
from chordtool.training.tensors import OnDevice, Tensors, to_tensors
from tests.training.made import config

FRAMES = 20
SETTINGS: list[dict[str, Any]] = [
    {"sustain": 1.0},
    {"noise_db": 30.0},
    {"gain_db": 6.0, "eq_db": 6.0, "detune_cents": 20.0},
]
MASKS = {"mask_frames": 8, "mask_bins": 8}


def batch(padded: int, level: float) -> OnDevice:
    """Eight segments of the same music, with some frames of padding behind it."""
    drawn = np.random.default_rng(0).normal(level, 1.0, (8, FRAMES, FrontEnd().n_bins))
    features = np.zeros((8, FRAMES + padded, FrontEnd().n_bins), np.float16)
    features[:, :FRAMES] = drawn
    return OnDevice(
        torch.from_numpy(features), torch.zeros(features.shape[:2], dtype=torch.int16),
        torch.full((8,), FRAMES), torch.ones(8), torch.zeros(8), None,
        torch.zeros(8, dtype=torch.bool), torch.ones(8, dtype=torch.bool), np.arange(8),
    )  # fmt: skip


def heard(padded: int, level: float, **settings: Any) -> Tensors:
    return to_tensors(batch(padded, level), FrontEnd(), augmented_for=(config(**settings), 0))


@pytest.mark.parametrize("level", [-2.0, -8.0], ids=["loud", "quiet"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "+".join(s))
def test_augmentation_does_not_take_padding_for_music(
    settings: dict[str, Any], level: float
) -> None:
    alone = heard(0, level, **settings).features
    padded = heard(7, level, **settings).features
    assert not torch.equal(alone, to_tensors(batch(0, level), FrontEnd()).features)
    torch.testing.assert_close(padded[:, :FRAMES], alone)
    assert not padded[:, FRAMES:].any()


@pytest.mark.parametrize("settings", [*SETTINGS, MASKS], ids=lambda s: "+".join(s))
def test_a_segment_that_is_not_augmented_stays_as_it_is(settings: dict[str, Any]) -> None:
    odd = torch.arange(8) % 2 == 1
    mixed = to_tensors(
        replace(batch(7, -2.0), augmented=odd), FrontEnd(), augmented_for=(config(**settings), 0)
    ).features
    plain = to_tensors(batch(7, -2.0), FrontEnd()).features
    assert torch.equal(mixed[~odd], plain[~odd])
    assert torch.equal(mixed[odd], heard(7, -2.0, **settings).features[odd])
    assert not torch.isclose(mixed[odd], plain[odd]).all((1, 2)).any()


def test_padding_and_segments_without_a_teacher_have_none() -> None:
    odd = torch.arange(8) % 2 == 1
    soft = torch.zeros(8, FRAMES + 7, 170)
    taught = replace(batch(7, -2.0), teacher=soft, has_teacher=odd)
    found = to_tensors(taught, FrontEnd()).has_teacher
    assert found is not None
    assert found[odd, :FRAMES].all()
    assert not found[odd, FRAMES:].any()
    assert not found[~odd].any()
    assert to_tensors(batch(7, -2.0), FrontEnd()).has_teacher is None
