"""What a student starts from: weights of a run, of an exported model, or of BTC as published."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from chordtool import catalogue
from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.models.card import ModelCard
from chordtool.models.students import ARCHITECTURES, build, from_onnx
from chordtool.training import checkpoint
from chordtool.vocabulary import N_CLASSES

_HINT = "Name a run, a checkpoint, an exported .onnx file, or: default, btc."


def starting_weights(student: str) -> tuple[ModelCard, dict[str, Tensor]]:
    """Card and weights of a student.

    Args:
        student: a run's folder or its ``.safetensors``; an exported ``.onnx``; BTC's public
            ``.pt``; ``"default"``, the packaged model; ``"btc"``, the downloaded BTC.

    Raises:
        ModelUnavailableError: there is no such student, or its weights are not here.
        ModelError: the file is broken, hostile, or holds something that cannot be trained.
    """
    path = Path(student)
    if path.is_dir() or path.suffix == ".safetensors":
        card, weights = checkpoint.load_checkpoint(path)
    elif path.suffix == ".onnx":
        card, weights = _from_onnx(path)
    elif path.suffix in (".pt", ".pth"):
        try:
            card, weights = _from_btc(path)
        except ModelError as error:  # its hint is how to download ours
            raise ModelError(error.message, hint=_HINT) from None
    elif student == "default":
        from chordtool.models import default

        card, weights = _from_onnx(default.read())
    elif student == "btc":
        card, weights = _from_btc(catalogue.weights("btc")[0])
    else:
        raise ModelUnavailableError(f"There is no student {student!r} to start from.", hint=_HINT)
    if card.vocabulary != "large":
        raise ModelError(f"{student} knows the majmin vocabulary only.", hint=_HINT)
    if card.architecture not in ARCHITECTURES:
        raise ModelError(
            f"{student} has the architecture {card.architecture!r}, which cannot be trained.",
            hint=_HINT,
        )
    # What does not fit is found here, not after hours of labelling.
    empty = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=N_CLASSES)
    checkpoint.load_weights(empty, card, weights)
    return card, weights


def _from_onnx(source: Path | bytes) -> tuple[ModelCard, dict[str, Tensor]]:
    module, card = from_onnx(source)
    return card, module.state_dict()


def _from_btc(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    from chordtool.models.btc import BtcModel
    from chordtool.models.btc_checkpoint import read_checkpoint

    # The model checks that the weights are those of BTC.
    return BtcModel.from_checkpoint(path).card, read_checkpoint(path).weights
