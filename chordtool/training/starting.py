"""What a student starts from: weights of a run, of an exported model, or of BTC as published."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from chordtool import catalogue
from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.models.card import ModelCard
from chordtool.models.seal import check_seal
from chordtool.models.students import ARCHITECTURES, build
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
        card, weights = _from_onnx(_read(path), student)
    elif path.suffix in (".pt", ".pth"):
        try:
            card, weights = _from_btc(path)
        except ModelError as error:  # its hint is how to download ours
            raise ModelError(error.message, hint=_HINT) from None
    elif student == "default":
        from chordtool.models import default

        card, weights = _from_onnx(default.read(), student)
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


def _read(path: Path) -> bytes:
    from chordtool.models.onnx_file import MAX_BYTES

    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelUnavailableError(
            f"The model {path} cannot be read: {error.strerror}.", hint=_HINT
        ) from None
    if len(data) > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB.", hint=_HINT)
    check_seal(data, str(path))
    return data


def _from_onnx(data: bytes, name: str) -> tuple[ModelCard, dict[str, Tensor]]:
    from chordtool.models.onnx_file import inspect
    from chordtool.models.onnx_graphs import read_weights

    card = inspect(data).card
    if card.architecture not in ARCHITECTURES:
        return card, {}
    try:
        found = read_weights(data)
        weights = {k: torch.from_numpy(v.copy()) for k, v in found.items()}
    except Exception:  # what onnx and numpy raise on files of others has no common base
        raise ModelError(
            f"The weights of {name} cannot be read back.",
            hint="Use a file that `chordtool export` wrote.",
        ) from None
    # No output depends on frozen parameters, so an exported model leaves them out.
    fresh = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=N_CLASSES)
    frozen = {k: p.detach() for k, p in fresh.named_parameters() if not p.requires_grad}
    return card, {**frozen, **weights}


def _from_btc(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    from chordtool.models.btc import BtcModel
    from chordtool.models.btc_checkpoint import read_checkpoint

    # The model checks that the weights are those of BTC.
    return BtcModel.from_checkpoint(path).card, read_checkpoint(path).weights
