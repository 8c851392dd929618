"""Samples that a program has already, brought to the form in which models take them."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chordtool.audio.mono import BLOCK_SAMPLES, Limits, MonoSignal
from chordtool.errors import UsageError
from chordtool.types import Samples

_SHOWN = 10**18
"""Hz; the largest rate that a message names as it is."""


def check_samples(samples: object, *, mono: bool) -> None:
    """Refuse what is no array of samples, of one channel and finite if they are ``mono`` already.

    Raises:
        UsageError: they have another type or shape, or are not finite and must be.
    """
    other = "; chordtool.transcribe takes several channels and any sample rate." if mono else "."
    if not isinstance(samples, np.ndarray) or samples.dtype.kind != "f":
        kind = samples.dtype if isinstance(samples, np.ndarray) else type(samples).__name__
        raise UsageError(
            f"The samples are of the type {kind}.",
            hint=f"Give floating-point numbers within -1..1, as soundfile.read returns{other}",
        )
    if samples.ndim != 1 and (mono or samples.ndim != 2 or samples.shape[1] == 0):
        forms = "[n]" if mono else "[n] or [n, channels]"
        raise UsageError(
            f"The samples have the shape {list(samples.shape)}.",
            hint=f"Give {forms}, as soundfile.read returns{other}",
        )
    if mono and not np.isfinite(samples).all():
        raise UsageError(
            "The samples hold numbers that are not finite.",
            hint="Put zeros in their place, as chordtool.transcribe does.",
        )


def to_mono(
    samples: NDArray[np.floating[Any]], sample_rate: int, wanted: int
) -> tuple[Samples, float]:
    """Mix samples to mono and bring them to a sample rate, as :func:`chordtool.audio.load` does.

    Args:
        samples: float [n] or [n, channels], nominally within -1..1; what is masked is silent.
        sample_rate: theirs, Hz.
        wanted: Hz.

    Returns:
        float32 [m], finite, and the exact length in seconds.

    Raises:
        UsageError: they have another type or shape, or their rate is no number.
        AudioError: not one is finite, or there are too many, or too many channels.
    """
    check_samples(samples, mono=False)
    rate: object = sample_rate  # whatever a caller took for one
    # Of an infinite rate, or one that is no number, the resampler would not come to an end.
    if isinstance(rate, bool) or not isinstance(rate, Real) or not rate < math.inf:
        raise UsageError(
            f"The sample rate is {sample_rate!r}.", hint="Give it in Hz, as soundfile.read does."
        )
    # A whole number may have more digits than Python shows. Refused it is either way.
    hertz = max(-_SHOWN, min(sample_rate, _SHOWN))
    samples = np.asarray(np.ma.filled(samples, np.nan))
    signal = MonoSignal(wanted, Limits(), samples.nbytes, "The array")
    frames = samples[:, None] if samples.ndim == 1 else samples
    step = max(1, BLOCK_SAMPLES // frames.shape[1])
    for first in range(0, len(frames), step):
        with np.errstate(over="ignore"):  # what is too large for a float32 becomes infinite
            block = frames[first : first + step].astype(np.float32)
        signal.add(block, hertz)
    return signal.finish(), signal.seconds
