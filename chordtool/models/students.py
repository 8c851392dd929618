"""Students by the name of their architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from torch import nn

from chordtool.errors import ModelError
from chordtool.models.btc import BTC
from chordtool.models.two_encoders_one_decoder import TwoEncodersOneDecoder

ARCHITECTURES: Final[dict[str, Callable[..., nn.Module]]] = {
    "btc": BTC,
    "2e1d": TwoEncodersOneDecoder,
}
"""What can be trained, by the word that a card's ``architecture`` holds."""


def build(
    architecture: str, *, n_bins: int, n_classes: int, dropout: float | None = None
) -> nn.Module:
    """A student with fresh random weights.

    Its forward pass takes normalised features, float [batch, frames, n_bins], and returns
    logits, float [batch, frames, n_classes]. ``dropout`` is the architecture's own if ``None``.

    Raises:
        ModelError: there is no such architecture, or it cannot take that many bins.
    """
    make = ARCHITECTURES.get(architecture)
    if make is None:
        raise ModelError(
            f"There is no student architecture {architecture!r}.",
            hint="Known ones: " + ", ".join(ARCHITECTURES) + ".",
        )
    try:
        own = {} if dropout is None else {"dropout": dropout}
        return make(n_bins=n_bins, n_classes=n_classes, **own)
    except ValueError as error:
        raise ModelError(
            f"The architecture {architecture!r} does not fit {n_bins} bins: {error}.",
            hint="2e1d needs a number of bins that 4 divides.",
        ) from None
