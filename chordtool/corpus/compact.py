"""Posteriors in one byte a class: what a corpus keeps of a teacher's belief.

Distillation at temperature T needs the whole of a distribution, since softening lifts the tail:
at T = 3 a class of probability 1e-6 counts a hundredth of a certain one. So every class keeps
its log-probability below the frame's likeliest class, in equal steps, down to a floor.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

STEP_NATS: Final = 0.1
"""Nats between two codes. The floor lies 255 steps below the likeliest class."""

Codes: TypeAlias = NDArray[np.uint8]


def encode(log_probabilities: NDArray[np.floating], step: float = STEP_NATS) -> Codes:
    """Codes of log-probabilities (or logits: a constant a frame does not matter).

    Args:
        log_probabilities: [frames, classes], no NaN; ``-inf`` becomes the floor.
        step: nats between two codes.

    Returns:
        uint8 [frames, classes]; 0 is the frame's likeliest class.
    """
    peak = log_probabilities.max(axis=1, keepdims=True, initial=-np.inf)
    below = np.minimum((peak - log_probabilities) / step, 255.0)
    codes: Codes = np.rint(below).astype(np.uint8)
    return codes


def decode(codes: Codes, step: float = STEP_NATS, temperature: float = 1.0) -> NDArray[np.float32]:
    """Posteriors from codes: the softmax of ``-step * codes / temperature``.

    Args:
        codes: uint8 [frames, classes].
        step: nats between two codes.
        temperature: softens the distribution as in distillation; > 0.

    Returns:
        float32 [frames, classes], rows sum to one.
    """
    # 256 possible values: a table is faster than a hundred exponentials a frame.
    table = np.exp(np.arange(256) * (-step / temperature)).astype(np.float32)
    weights: NDArray[np.float32] = table[codes]
    weights /= weights.sum(axis=1, keepdims=True, dtype=np.float32)
    return weights
