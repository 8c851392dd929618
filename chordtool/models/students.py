"""Students by the name of their architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import nn

from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.files import require_regular
from chordtool.models.btc import BTC
from chordtool.models.card import ModelCard
from chordtool.models.onnx_file import MAX_BYTES, inspect
from chordtool.models.seal import check_seal
from chordtool.models.two_encoders_one_decoder import TwoEncodersOneDecoder
from chordtool.vocabulary import VOCABULARIES

ARCHITECTURES: Final[dict[str, Callable[..., nn.Module]]] = {
    "btc": BTC,
    "2e1d": TwoEncodersOneDecoder,
}
"""What can be trained, by the word that a card's ``architecture`` holds."""
_EXPORTED: Final = "Only files that `chordtool export` wrote can be trained further."


def require_architecture(name: str) -> None:
    """Raise ModelError if there is no student architecture of that name."""
    if name not in ARCHITECTURES:
        raise ModelError(
            f"There is no student architecture {name!r}.",
            hint="Known ones: " + ", ".join(ARCHITECTURES) + ".",
        )


def build(
    architecture: str, *, n_bins: int, n_classes: int, dropout: float | None = None
) -> nn.Module:
    """A student with fresh random weights.

    Its forward pass takes normalised features, float [batch, frames, n_bins], and returns
    logits, float [batch, frames, n_classes]. ``dropout`` is the architecture's own if ``None``.

    Raises:
        ModelError: there is no such architecture, or it cannot take that many bins.
    """
    require_architecture(architecture)
    make = ARCHITECTURES[architecture]
    try:
        own = {} if dropout is None else {"dropout": dropout}
        return make(n_bins=n_bins, n_classes=n_classes, **own)
    except ValueError as error:
        raise ModelError(
            f"The architecture {architecture!r} does not fit {n_bins} bins: {error}.",
            hint="2e1d needs a number of bins that 4 divides.",
        ) from None


def from_onnx(source: Path | bytes) -> tuple[nn.Module, ModelCard]:
    """An exported student as a torch module, to be trained further.

    Its weights are those that were exported, up to a rounding of the last bit. Parameters that
    no output depends on are not in an exported file; they are 0.

    Args:
        source: an ONNX file, or its content.

    Raises:
        ModelUnavailableError: the file cannot be read.
        ModelError: it is broken, hostile, or not of a known architecture.
    """
    from chordtool.models.onnx_graphs import read_weights

    data = source if isinstance(source, bytes) else _content(source)
    card = inspect(data).card
    n_classes = len(VOCABULARIES[card.vocabulary])
    module = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=n_classes)
    try:
        found = read_weights(data)
    except Exception:  # onnx, protobuf and numpy each raise what they please
        raise _foreign() from None
    wanted = module.state_dict()
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    if not trained <= found.keys() <= wanted.keys():
        raise _foreign()
    weights = {name: torch.zeros_like(tensor) for name, tensor in wanted.items()}
    for name, value in found.items():
        if value.shape != wanted[name].shape or value.dtype.name != "float32":
            raise _foreign()
        weights[name] = torch.from_numpy(value)
        if not bool(torch.isfinite(weights[name]).all()):
            raise _foreign()
    module.load_state_dict(weights)
    return module, card


def _content(path: Path) -> bytes:
    try:
        require_regular(path)
        if path.stat().st_size > MAX_BYTES:
            raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", hint=_EXPORTED)
        data = path.read_bytes()
    except OSError as error:
        raise ModelUnavailableError(
            f"The model {path} cannot be read: {error.strerror}.", hint=_EXPORTED
        ) from None
    check_seal(data, str(path))
    return data


def _foreign() -> ModelError:
    return ModelError(
        "The weights in the ONNX file do not fit the architecture on its card.",
        hint=_EXPORTED,
    )
