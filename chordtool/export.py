"""A trained student becomes one ONNX file with its card, proven to compute what torch computes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from chordtool.errors import ModelError, UsageError
from chordtool.files import atomic_write, place_of
from chordtool.models.card import CARD_KEY, ModelCard
from chordtool.models.onnx import OnnxModel
from chordtool.models.onnx_graphs import INPUT, OUTPUT, WRITERS, write_graph
from chordtool.models.seal import seal
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.vocabulary import VOCABULARIES

TRIALS: Final = ((1, 1), (2, 53), (3, 108), (1, 109), (2, 256))
"""Batches and frames at which torch and ONNX Runtime are compared."""
TOLERANCE: Final = 1e-4
"""Largest difference between their logits, relative to the largest logit if that is above 1."""


@dataclass(frozen=True)
class Export:
    """What was written."""

    path: Path
    card: ModelCard
    size: int
    """Bytes."""
    sha256: str
    """Hex digest of the file."""
    difference: float
    """Largest difference between the logits of torch and of ONNX Runtime."""


def export_run(
    run: Path,
    output: Path,
    *,
    last: bool = False,
    name: str | None = None,
    licence: str | None = None,
    description: str | None = None,
    overwrite: bool = False,
) -> Export:
    """Export the student of a run, or of a single checkpoint.

    Args:
        run: folder of a run, or a ``.safetensors`` checkpoint.
        output: the ``.onnx`` file.
        last: take a run's last checkpoint instead of its best.
        name, licence, description: of the model, for its card, instead of what it says.
        overwrite: replace a file that is there.

    Raises:
        UsageError: the output is there already, or is no place for a model, or the name is empty.
        ModelError: the checkpoint is broken, or the exported model would differ from it.
        OSError: the file cannot be written.
    """
    if output.suffix != ".onnx":
        raise UsageError(f"{output} does not end in .onnx.", hint="Models are told by that.")
    if not output.parent.is_dir() or (output.exists() and not output.is_file()):
        raise UsageError(f"{output} is no place for a file.", hint="Name a file in a folder.")
    if output.exists() and not overwrite:
        raise UsageError(f"{output} is there already.", hint="Choose another name, or --overwrite.")
    if last and not run.is_dir():
        raise UsageError(f"{run} is not the folder of a run.", hint="Leave --last out.")
    # Corpora and students' cards call a teacher by it.
    if name is not None and not name.strip():
        raise UsageError("A model needs a name.", hint="Leave --name out, or give it one.")
    card, weights = checkpoint.load_checkpoint(run / checkpoint.LAST if last else run)
    module = build(
        card.architecture,
        n_bins=card.front_end.n_bins,
        n_classes=len(VOCABULARIES[card.vocabulary]),
    )
    checkpoint.load_weights(module, card, weights)
    said = {"name": name, "licence": licence, "description": description}
    changes = {key: text for key, text in said.items() if text is not None}
    return export(module, replace(card, **changes), output)  # type: ignore[arg-type]


def export(module: nn.Module, card: ModelCard, output: Path) -> Export:
    """Write a student as an ONNX file, in one step, if it computes what the module computes.

    Args:
        module: a student, as :func:`chordtool.models.students.build` makes it.
        card: its card.
        output: the file, or a link to it; replaced if it is there.

    Raises:
        ModelError: there is no graph for the architecture, weights are not finite, or the model
            would differ from the module.
        OSError: the file cannot be written.
    """
    data = to_bytes(module, card)
    OnnxModel(data).prepare()
    difference = check_parity(module, card, data)
    with atomic_write(place_of(output)) as file:
        file.write(data)
    digest = hashlib.sha256(data).hexdigest()
    return Export(output, card, len(data), digest, difference)


def to_bytes(module: nn.Module, card: ModelCard) -> bytes:
    """The ONNX file of a student, not yet compared with it.

    The same weights and card give the same bytes.

    Raises:
        ModelError: there is no graph for the architecture, or weights are not finite.
    """
    if card.architecture not in WRITERS:
        raise ModelError(
            f"Students of the architecture {card.architecture!r} cannot be exported.",
            hint="Known ones: " + ", ".join(WRITERS) + ".",
        )
    weights = {
        name: tensor.detach().to("cpu", torch.float32).numpy()
        for name, tensor in module.state_dict().items()
    }
    if not all(np.isfinite(value).all() for value in weights.values()):
        raise ModelError(
            "The student has weights that are not finite.", hint="Export an earlier checkpoint."
        )
    n_classes = len(VOCABULARIES[card.vocabulary])
    try:
        model = write_graph(card.architecture, weights, card.front_end.n_bins, n_classes)
    except (KeyError, ValueError):
        raise ModelError(
            f"The weights are not those of the architecture {card.architecture!r}.",
            hint="The card and the checkpoint do not belong together.",
        ) from None
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, card.to_json()
    return seal(model.SerializeToString(deterministic=True))


def check_parity(module: nn.Module, card: ModelCard, data: bytes) -> float:
    """Compare an ONNX file with a module, on made-up features of several lengths.

    Returns:
        The largest difference between their logits.

    Raises:
        ModelError: they differ.
    """
    from chordtool.models.runtime import PROVIDERS
    from chordtool.models.runtime import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=PROVIDERS)
    rng = np.random.default_rng(0)
    largest = 0.0
    for batch, n_frames in TRIALS:
        shape = (batch, n_frames, card.front_end.n_bins)
        features = rng.standard_normal(shape, np.float32)
        wanted = _torch_logits(module, features)
        try:
            found = session.run([OUTPUT], {INPUT: features})[0]
        except Exception as error:  # ONNX Runtime has no common base class of its errors
            raise _differs(f"ONNX Runtime fails on {n_frames} frames") from error
        if found.shape != wanted.shape:
            raise _differs(f"its logits have the shape {found.shape}, not {wanted.shape}")
        difference = float(np.abs(found - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise _differs(f"logits of {n_frames} frames are off by {difference:.2g}")
        largest = max(largest, difference)
    return largest


def _torch_logits(module: nn.Module, features: NDArray[np.float32]) -> NDArray[np.float32]:
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            device = next(module.parameters()).device
            logits = module(torch.from_numpy(features).to(device))
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        return found
    finally:
        module.train(was_training)


def _differs(how: str) -> ModelError:
    return ModelError(
        f"The exported model would not compute what the student computes: {how}.",
        hint="Nothing was written. Please report this with the versions of `chordtool doctor`.",
    )
