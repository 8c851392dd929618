"""Augmentation of segments as tensor operations on [batch, frames, bins].

Pitch is shifted before this, exactly, by reading other bins (:mod:`chordtool.training.data`).
Each random number is a function of the seed, the epoch and the segment's place in the epoch, so
that it does not matter how a batch is shared among processes or where a run was resumed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from chordtool.training.config import TrainConfig

DECIBEL = math.log(10.0) / 20.0
"""One decibel as a difference of natural logarithms of magnitude."""

_EQ_POINTS = 7
_NOISE_BASE_DB = 60.0
_HELD_FRAMES = 3
"""What is shorter rings on under no pedal: it is a drum, or the attack of a note."""
_FASTEST_DECAY_DB = 1.0
_DEEPEST_DB = 15.0


@dataclass(frozen=True)
class Draws:
    """Random numbers of a batch, uniform on 0..1, float32 [batch, n]."""

    gain: Tensor
    eq: Tensor
    noise: Tensor
    detune: Tensor
    masks: Tensor
    """[batch, 4 * masks]: width and place of each mask of frames, then of bins."""
    sustain: Tensor
    """[batch, 5]: whether, how fast it decays, how loud, from which bin, and since when."""


def is_on(config: TrainConfig) -> bool:
    """Whether any augmentation besides pitch shift and jitter is on."""
    settings = (
        config.gain_db, config.eq_db, config.noise_db, config.detune_cents,
        config.mask_frames * config.masks, config.mask_bins * config.masks, config.sustain,
    )  # fmt: skip
    return any(settings)


def draw(config: TrainConfig, epoch: int, index: NDArray[np.int64], device: torch.device) -> Draws:
    """The random numbers of the segments at some places of an epoch."""
    sizes = [1, _EQ_POINTS, 2, 1, 4 * config.masks, 5]
    drawn = uniform(config.seed, epoch, index, sum(sizes))
    return Draws(*torch.split(torch.from_numpy(drawn).to(device), sizes, dim=1))


def uniform(seed: int, epoch: int, index: NDArray[np.int64], n: int) -> NDArray[np.float32]:
    """Random numbers of some segments: SplitMix64 (Steele et al., OOPSLA 2014) by its counter.

    Returns:
        float32 [segments, n], 0 <= x < 1.
    """
    golden = 0x9E3779B97F4A7C15
    stream = mix(seed * golden + mix(epoch + 1))
    counters = index.astype(np.uint64)[:, None] << np.uint64(20) | np.arange(
        1, n + 1, dtype=np.uint64
    )
    z = counters * np.uint64(golden) + np.uint64(stream)  # modulo 2**64, as it should be
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX_2)
    z ^= z >> np.uint64(31)
    values: NDArray[np.float32] = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return values


_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(number: int) -> int:
    """SplitMix64's finaliser: a number of 64 bits that looks random, neighbours far apart."""
    z = number & (2**64 - 1)
    z = ((z ^ (z >> 30)) * _MIX_1) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * _MIX_2) & (2**64 - 1)
    return z ^ (z >> 31)


def augment(
    features: Tensor, draws: Draws, config: TrainConfig, bins_per_octave: int = 24
) -> Tensor:
    """Detune, hold the pedal, equalise, add a noise floor, change the gain; each if it is on.

    Args:
        features: float32 [batch, frames, bins], log magnitudes, not normalised.
        draws: the segments' random numbers.
        config: how far each goes.
        bins_per_octave: of the features.

    Returns:
        The same shape.
    """
    x = features
    if config.detune_cents:
        furthest = config.detune_cents * bins_per_octave / 1200
        x = detune(x, (2 * draws.detune[:, 0] - 1) * furthest)
    if config.sustain:
        held = draws.sustain[:, 0] < config.sustain
        x = torch.where(held[:, None, None], sustain(x, draws.sustain[:, 1:]), x)
    if config.eq_db:
        x = x + eq_curve((2 * draws.eq - 1) * config.eq_db * DECIBEL, x.shape[2])[:, None]
    if config.noise_db:
        x = noise_floor(x, draws.noise, config.noise_db)
    if config.gain_db:
        x = x + ((2 * draws.gain - 1) * config.gain_db * DECIBEL)[:, None]
    return x


def detune(x: Tensor, bins: Tensor) -> Tensor:
    """Move spectra up by a fraction of a bin, interpolating linearly; edges repeat.

    Args:
        x: [batch, frames, n_bins].
        bins: [batch], within -1..1.
    """
    below = torch.cat((x[..., :1], x[..., :-1]), -1)
    above = torch.cat((x[..., 1:], x[..., -1:]), -1)
    share = bins.abs()[:, None, None]
    neighbour = torch.where((bins > 0)[:, None, None], below, above)
    return torch.lerp(x, neighbour, share)


def sustain(x: Tensor, draws: Tensor) -> Tensor:
    """Let everything ring on, as under a pedal that nobody lifts.

    A bin keeps the level of the loudest note so far, which decays not at all in half of the
    segments and by up to 1 dB a frame in the others, lies up to 15 dB below the note, and is added
    in power. In two thirds of the segments the low bins are spared, so that the bass stays clear;
    in two thirds what the segment itself plays has been ringing since before its start.

    Args:
        x: log magnitudes [batch, frames, bins].
        draws: [batch, 4], uniform: decay, level, lowest bin, start.
    """
    decay, level, lowest, start = draws.T[..., None]
    frame = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    falls = (2 * decay - 1).clamp(min=0) * _FASTEST_DECAY_DB * DECIBEL * frame
    edge = x[:, :1].expand(-1, _HELD_FRAMES - 1, -1)
    held = torch.cat((edge, x), 1).unfold(1, _HELD_FRAMES, 1).amin(-1)
    before = torch.where(start < 2 / 3, held.amax(1), held[:, 0])
    loudest = torch.cummax(held + falls[..., None], dim=1).values
    # Under a note lies what was played before it, not the note itself.
    ringing = torch.maximum(loudest.roll(1, dims=1), before[:, None])
    ringing[:, 0] = before
    ringing = ringing - falls[..., None] - (level * _DEEPEST_DB * DECIBEL)[..., None]
    spared = (1.5 * lowest - 0.5).clamp(min=0) * 0.7 * x.shape[2]
    above = torch.arange(x.shape[2], device=x.device) >= spared
    together = 0.5 * torch.logaddexp(2 * x, 2 * ringing)
    return torch.where(above[:, None], together, x)


def eq_curve(points: Tensor, n_bins: int) -> Tensor:
    """A smooth curve over the bins through control values, [batch, points] -> [batch, n_bins]."""
    curve = F.interpolate(points[:, None], size=n_bins, mode="linear", align_corners=True)
    width = max(3, n_bins // points.shape[1] // 2 * 2 + 1)
    padded = F.pad(curve, (width // 2, width // 2), mode="replicate")
    return F.avg_pool1d(padded, width, stride=1)[:, 0]


def noise_floor(x: Tensor, draws: Tensor, noise_db: float) -> Tensor:
    """Add noise in power: its level is 60 dB below the segment's loudest bin, and up to
    ``noise_db`` above that; it falls or rises over the bins by up to 20 dB.

    Args:
        x: log magnitudes [batch, frames, bins].
        draws: [batch, 2], uniform: level and slope.
    """
    loudest = x.amax((1, 2))
    level = loudest + (noise_db * draws[:, 0] - _NOISE_BASE_DB) * DECIBEL
    ramp = torch.linspace(-0.5, 0.5, x.shape[2], device=x.device)
    slope = (2 * draws[:, 1:] - 1) * 20.0 * DECIBEL * ramp
    floor = (level[:, None] + slope)[:, None]
    return 0.5 * torch.logaddexp(2 * x, 2 * floor)


def mask(x: Tensor, draws: Draws, config: TrainConfig) -> Tensor:
    """SpecAugment (Park et al., Interspeech 2019): bands of frames and of bins become 0.

    Args:
        x: normalised features [batch, frames, bins]; 0 is their mean.
    """
    n = config.masks
    time_draws, bin_draws = draws.masks[:, : 2 * n], draws.masks[:, 2 * n :]
    if config.mask_frames and n:
        hidden = _bands(time_draws, config.mask_frames, x.shape[1])
        x = x.masked_fill(hidden[:, :, None], 0.0)
    if config.mask_bins and n:
        hidden = _bands(bin_draws, config.mask_bins, x.shape[2])
        x = x.masked_fill(hidden[:, None, :], 0.0)
    return x


def _bands(draws: Tensor, widest: int, length: int) -> Tensor:
    """bool [batch, length]; ``draws`` holds widths, then places."""
    width, place = draws.chunk(2, dim=1)
    width = (width * (min(widest, length) + 1)).floor()
    start = (place * (length - width + 1)).floor()
    position = torch.arange(length, device=draws.device)
    inside = (position >= start[..., None]) & (position < (start + width)[..., None])
    return inside.any(1)
