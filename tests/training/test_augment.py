from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from chordtool.training import augment
from tests.training.made import config

CPU = torch.device("cpu")


def features(batch: int = 3, frames: int = 20, bins: int = 144) -> torch.Tensor:
    return torch.randn(batch, frames, bins, generator=torch.Generator().manual_seed(0)) - 5.0


def drawn(n: int = 3, **settings: object) -> augment.Draws:
    return augment.draw(config(**settings), 0, np.arange(n), CPU)


def test_nothing_is_on_by_default() -> None:
    assert not augment.is_on(config())
    assert augment.is_on(config(gain_db=3.0))
    assert not augment.is_on(config(mask_frames=5, masks=0))
    x = features()
    assert torch.equal(augment.augment(x, drawn(), config()), x)
    assert torch.equal(augment.mask(x, drawn(), config()), x)


def test_random_numbers_belong_to_the_segment_and_not_to_the_batch() -> None:
    setting = config(gain_db=3.0)
    whole = augment.draw(setting, 5, np.arange(10), CPU)
    part = augment.draw(setting, 5, np.array([3, 7]), CPU)
    assert torch.equal(whole.gain[[3, 7]], part.gain)
    assert not torch.equal(whole.gain, augment.draw(setting, 6, np.arange(10), CPU).gain)


def test_gain_moves_a_segment_by_a_constant_within_its_range() -> None:
    setting = config(gain_db=6.0)
    moved = augment.augment(features(), drawn(), setting) - features()
    assert moved.amax() <= 6 * augment.DECIBEL
    assert moved.amin() >= -6 * augment.DECIBEL
    assert torch.allclose(moved, moved[:, :1, :1].expand_as(moved), atol=1e-5)
    assert moved[:, 0, 0].std() > 0


@pytest.mark.parametrize("setting", [{"gain_db": 6.0}, {"eq_db": 6.0}])
def test_what_is_louder_here_is_softer_elsewhere(setting: dict[str, float]) -> None:
    x = features(200)
    drawn = augment.draw(config(**setting), 0, np.arange(200), CPU)
    moved = (augment.augment(x, drawn, config(**setting)) - x)[:, 0, 0] / augment.DECIBEL
    assert moved.amin() < -3
    assert moved.amax() > 3
    assert moved.mean().abs() < 0.8


def test_the_equaliser_is_smooth_and_the_same_for_all_frames() -> None:
    setting = config(eq_db=12.0)
    moved = augment.augment(features(), drawn(), setting) - features()
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-5)
    assert moved.abs().amax() <= 12 * augment.DECIBEL + 1e-5
    assert moved[:, 0].diff(dim=1).abs().amax() < 1.2 * augment.DECIBEL


def test_noise_adds_in_power_and_never_takes_away() -> None:
    x = features()
    noisy = augment.noise_floor(x, torch.tensor([[0.9, 0.5]] * 3), 40.0)
    assert (noisy >= x - 1e-6).all()
    level = x.amax((1, 2)) - 24 * augment.DECIBEL
    expected = 0.5 * torch.log(torch.exp(2 * x) + torch.exp(2 * level)[:, None, None])
    assert torch.allclose(noisy, expected, atol=1e-4)


@pytest.mark.parametrize(("draw", "rise"), [(0.0, -20.0), (0.5, 0.0), (1.0, 20.0)])
def test_noise_falls_or_rises_over_the_bins(draw: float, rise: float) -> None:
    x = torch.full((1, 2, 144), -30.0)
    x[:, 0, 72] = 0.0
    noise = augment.noise_floor(x, torch.tensor([[0.5, draw]]), 20.0)[0, 1] / augment.DECIBEL
    assert noise[-1] - noise[0] == pytest.approx(rise, abs=0.01)
    assert noise[71:73].mean() == pytest.approx(-50.0, abs=0.01)


def note(frames: int = 30) -> torch.Tensor:
    """Silence, a note of five frames in bins 100, 20 and a drum in all of them."""
    x = torch.full((1, frames, 144), -12.0)
    x[:, 8:13, [20, 100]] = 0.0
    x[:, 20] = -1.0
    return x


def sustained(*draws: float) -> torch.Tensor:
    """A note with the pedal down: decay, level, lowest bin, start; as decibels, [frames, bins]."""
    return augment.sustain(note(), torch.tensor([draws]))[0] / augment.DECIBEL


def test_a_held_note_rings_on_and_a_drum_does_not() -> None:
    x = sustained(0.0, 0.0, 0.0, 0.9)
    assert torch.allclose(x[13:20, 100], torch.zeros(7), atol=0.1)
    assert torch.allclose(x[:8, 100], torch.full((8,), -12 / augment.DECIBEL), atol=3.1)
    assert torch.allclose(x[21:, 50], torch.full((9,), -12 / augment.DECIBEL), atol=3.1)


def test_what_rings_decays_lies_lower_or_spares_the_bass() -> None:
    decaying = sustained(1.0, 0.0, 0.0, 0.9)[15:20, 100].diff()
    assert torch.allclose(decaying, torch.full((4,), -1.0), atol=0.01)
    assert sustained(0.0, 1.0, 0.0, 0.9)[15, 100] == pytest.approx(-15, abs=0.1)
    assert sustained(0.0, 0.0, 0.9, 0.9)[15, 20] == pytest.approx(-12 / augment.DECIBEL)
    assert sustained(0.0, 0.0, 0.9, 0.9)[15, 100] == pytest.approx(0, abs=0.1)


def test_half_of_the_segments_do_not_decay_and_a_third_spares_no_bin() -> None:
    assert sustained(0.5, 0.0, 0.0, 0.9)[15:20, 100] == pytest.approx(np.zeros(5), abs=0.1)
    assert sustained(0.0, 0.0, 0.33, 0.9)[15, 20] == pytest.approx(0, abs=0.1)


def test_the_pedal_may_have_been_down_since_before_the_segment() -> None:
    assert sustained(0.0, 0.0, 0.0, 0.1)[0, 100] == pytest.approx(0, abs=0.1)


def test_the_pedal_is_down_in_its_share_of_the_segments() -> None:
    setting = config(sustain=0.25)
    x = features(400)
    moved = augment.augment(x, augment.draw(setting, 0, np.arange(400), CPU), setting) != x
    assert 0.18 < moved.any(2).any(1).float().mean() < 0.32


@pytest.mark.parametrize("bins", [-1.0, 1.0])
def test_detuning_by_a_whole_bin_is_a_shift(bins: float) -> None:
    x = features()
    moved = augment.detune(x, torch.full((3,), bins))
    if bins > 0:
        assert torch.equal(moved[..., 1:], x[..., :-1])
    else:
        assert torch.equal(moved[..., :-1], x[..., 1:])


def test_detuning_by_nothing_changes_nothing() -> None:
    assert torch.equal(augment.detune(features(), torch.zeros(3)), features())


@pytest.mark.parametrize(("bins_per_octave", "furthest"), [(24, 0.5), (36, 0.75)])
def test_detuning_goes_as_far_as_asked_both_ways(bins_per_octave: int, furthest: float) -> None:
    setting = config(detune_cents=25.0)
    ramp = torch.arange(144.0).expand(400, 2, 144)
    drawn = augment.draw(setting, 0, np.arange(400), CPU)
    moved = (ramp - augment.augment(ramp, drawn, setting, bins_per_octave))[:, 0, 72]
    assert moved.amax() == pytest.approx(furthest, rel=0.02)
    assert moved.amin() == pytest.approx(-furthest, rel=0.02)


def test_masks_of_frames_and_of_bins_have_places_of_their_own() -> None:
    setting = config(mask_frames=10, mask_bins=10, masks=1)
    x = torch.ones(100, 40, 40)
    hidden = augment.mask(x, augment.draw(setting, 0, np.arange(100), CPU), setting) == 0
    alike = (hidden.all(2) == hidden.all(1)).all(1)
    assert alike.float().mean() < 0.2


def test_masks_are_no_wider_than_asked_and_hide_the_mean() -> None:
    setting = config(mask_frames=4, mask_bins=10, masks=2)
    x = torch.ones(50, 40, 144)
    masked = augment.mask(x, augment.draw(setting, 0, np.arange(50), CPU), setting)
    hidden = masked == 0
    frames = hidden.all(2).sum(1)
    bins = hidden.all(1).sum(1)
    assert frames.amax() <= 8
    assert bins.amax() <= 20
    assert frames.float().mean() > 1
    assert bins.float().mean() > 3


def test_a_mask_wider_than_the_segment_is_allowed() -> None:
    setting = config(mask_frames=1000, masks=1)
    masked = augment.mask(features(), drawn(masks=1), setting)
    assert torch.isfinite(masked).all()


def test_a_decibel_is_a_decibel() -> None:
    assert math.exp(20 * augment.DECIBEL) == pytest.approx(10.0)


def test_random_numbers_are_uniform_and_unlike_their_neighbours() -> None:
    drawn = augment.uniform(42, 3, np.arange(2000), 25)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean() == pytest.approx(0.5, abs=0.01)
    assert drawn.std() == pytest.approx(12**-0.5, abs=0.01)
    shares = np.histogram(drawn, 20, (0, 1))[0] / drawn.size
    assert np.abs(shares - 0.05).max() < 0.005
    for other in (
        np.roll(drawn, 1, 0), np.roll(drawn, 1, 1),
        augment.uniform(42, 4, np.arange(2000), 25), augment.uniform(43, 3, np.arange(2000), 25),
    ):  # fmt: skip
        assert abs(np.corrcoef(drawn.ravel(), other.ravel())[0, 1]) < 0.02
