"""Checkpoints: weights with their card, and everything that a run needs to go on.

Both are safetensors files, which hold numbers and text and cannot run code. Writing is atomic, and
a file carries a hash of what is in it: a bit that a disk has changed is noticed.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from chordtool.errors import ModelError, TrainingError
from chordtool.files import atomic_write, read_bounded
from chordtool.models.card import CARD_KEY, ModelCard
from chordtool.training.optimisers import empty_slots

STATE_KEY: Final = "chordtool.state"
STATE_SCHEMA: Final = 1
HASH_KEY: Final = "chordtool.sha256"
"""Where the hash is among a file's texts. Files without one, as other programs write, pass."""
BEST: Final = "best.safetensors"
LAST: Final = "last.safetensors"
STATE: Final = "state.safetensors"
MAX_CHECKPOINT_BYTES: Final = 2 << 30


def save_checkpoint(path: Path, weights: dict[str, Tensor], card: ModelCard) -> None:
    """Write weights and card; an existing file is replaced in one step."""
    _write(path, weights, {CARD_KEY: card.to_json()})


def _write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    metadata = {**metadata, HASH_KEY: _hash(plain, metadata)}
    with atomic_write(path) as file:
        file.write(save(plain, metadata=metadata))


def _hash(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """Of all texts and tensors, their names, types and shapes."""
    total = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def load_checkpoint(path: Path) -> tuple[ModelCard, dict[str, Tensor]]:
    """Read weights and card.

    Args:
        path: a checkpoint, or the folder of a run, whose best one is taken.

    Raises:
        ModelError: it is missing, truncated, hostile, or not a checkpoint of a student.
    """
    if path.is_dir():
        path = path / BEST
    metadata, tensors = _read(path)
    text = metadata.get(CARD_KEY)
    if text is None:
        raise ModelError(
            f"{path} holds tensors, but no card of a student.",
            hint="Use best.safetensors of a run of `chordtool distill` or `chordtool finetune`.",
        )
    return ModelCard.from_json(text), tensors


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    hint = "Use a checkpoint of `chordtool distill` or `chordtool finetune`."
    try:
        if path.stat().st_size > MAX_CHECKPOINT_BYTES:
            raise ModelError(f"{path} is too large for a checkpoint.", hint=hint)
        data = read_bounded(path, MAX_CHECKPOINT_BYTES)
    except OSError as error:
        raise ModelError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", hint=hint
        ) from None
    if path.suffix == ".onnx":
        raise ModelError(f"{path} is an exported model, not a checkpoint.", hint=hint)
    # A safetensors file begins with a length, whose bytes may look like anything, and then "{".
    if data[8:9] != b"{" and (data[:2] == b"PK" or data[:1] == b"\x80"):
        raise ModelError(
            f"{path} is a pickle, which could run code when it is loaded; it was not opened.",
            hint=hint,
        )
    try:
        # From its bytes: safetensors opens no file whose name is not text.
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = {str(k): str(v) for k, v in (header.get("__metadata__") or {}).items()}
    except (SafetensorError, ValueError, LookupError, AttributeError, AssertionError, RuntimeError):
        raise ModelError(f"{path} is truncated, or no safetensors file.", hint=hint) from None
    wanted = metadata.pop(HASH_KEY, None)
    if wanted is not None and wanted != _hash(tensors, metadata):
        raise ModelError(f"{path} is damaged: it is not what was written.", hint=hint)
    return metadata, tensors


def load_weights(
    module: nn.Module, card: ModelCard, weights: dict[str, Tensor], architecture: str | None = None
) -> None:
    """Put weights into a module.

    Raises:
        ModelError: they belong to another architecture.
    """
    if architecture is not None and card.architecture != architecture:
        raise ModelError(
            f"The checkpoint is of the architecture {card.architecture!r}, not {architecture!r}.",
            hint=f"Give --student {card.architecture}, or another checkpoint.",
        )
    wanted = module.state_dict()
    same = wanted.keys() == weights.keys() and all(
        wanted[name].shape == weights[name].shape for name in wanted
    )
    if not same:
        raise ModelError(
            f"The weights do not fit the architecture {card.architecture!r} on their card.",
            hint="The file was changed, or made by another version of the program.",
        )
    if not all(bool(torch.isfinite(t).all()) for t in weights.values() if t.is_floating_point()):
        raise ModelError(
            "The checkpoint holds weights that are not finite.", hint="Use an earlier checkpoint."
        )
    module.load_state_dict(weights)


def save_state(
    path: Path,
    weights: dict[str, Tensor],
    averaged: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    names: list[str],
    state: dict[str, Any],
    card: ModelCard,
) -> None:
    """Write everything that a run needs to go on, as one file.

    Args:
        weights: of the student.
        averaged: their moving average, empty if there is none.
        optimiser: over parameters in the order of ``names``.
        state: JSON-ready; floats come back to the last bit.
    """
    tensors = {f"weights.{k}": v for k, v in weights.items()}
    tensors |= {f"averaged.{k}": v for k, v in averaged.items()}
    slots = optimiser.state_dict()["state"]
    for number, name in enumerate(names):
        for key, value in slots.get(number, {}).items():
            tensors[f"optimiser.{key}.{name}"] = torch.as_tensor(value)
    document = json.dumps({"schema": STATE_SCHEMA, **state})
    _write(path, tensors, {CARD_KEY: card.to_json(), STATE_KEY: document})


def load_state(path: Path) -> tuple[dict[str, Any], ModelCard, dict[str, Tensor]]:
    """Read what :func:`save_state` wrote.

    Raises:
        TrainingError: the file is broken or newer than this program.
    """
    hint = "Start again with --overwrite, or in another folder."
    try:
        metadata, tensors = _read(path)
        card = ModelCard.from_json(metadata.get(CARD_KEY, ""))
        state = json.loads(metadata.get(STATE_KEY, ""))
    except ModelError as error:
        raise TrainingError(f"The run cannot go on. {error.message}", hint=hint) from None
    except (ValueError, RecursionError):
        raise TrainingError(f"{path} is not the state of a run.", hint=hint) from None
    if not isinstance(state, dict) or state.get("schema") != STATE_SCHEMA:
        raise TrainingError(f"{path} was written by another version of the program.", hint=hint)
    return state, card, tensors


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def same_shapes(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """What was found, in the order of what was wanted, if it has its names and shapes.

    Raises:
        ValueError: it has not.
    """
    if {k: v.shape for k, v in found.items()} != {k: v.shape for k, v in wanted.items()}:
        raise ValueError("tensors of other names or shapes")
    return {k: found[k] for k in wanted}


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]
) -> None:
    """Put the optimiser's tensors back.

    Raises:
        ValueError, KeyError: they belong to other parameters, or to another optimiser.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for key, value in part(tensors, "optimiser.").items():
        slot, name = key.split(".", 1)
        found.setdefault(name, {})[slot] = value
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for number, (name, parameter) in enumerate(zip(names, parameters, strict=True)):
        if name in found:  # a parameter that no gradient reaches has none
            slots[number] = same_shapes(found.pop(name), empty_slots(optimiser, parameter))
    if found:
        raise KeyError(next(iter(found)))
    whole = optimiser.state_dict()
    whole["state"] = slots
    optimiser.load_state_dict(whole)
