"""A student small enough to make on the spot: one matrix product, exported with its card."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from chordtool.frontend import FrontEnd
from chordtool.models.card import CARD_KEY, ModelCard
from chordtool.vocabulary import VOCABULARIES


def tiny_card(**values: object) -> ModelCard:
    """A card that goes with the file of :func:`tiny_student`."""
    settings: dict[str, object] = {
        "name": "tiny",
        "architecture": "btc",
        "front_end": FrontEnd(mean=-7.0, std=3.0),
        "segment_frames": 24,
        "licence": "MIT",
    }
    return ModelCard(**{**settings, **values})  # type: ignore[arg-type]


def tiny_model(card: ModelCard | None = None, seed: int = 0) -> onnx.ModelProto:
    """Random weights from the card's bins to the classes of its vocabulary."""
    card = card or tiny_card()
    n_bins, n_classes = card.front_end.n_bins, len(VOCABULARIES[card.vocabulary])
    rng = np.random.default_rng(seed)
    weights = rng.normal(0, 0.3, (n_bins, n_classes)).astype(np.float32)
    bias = rng.normal(0, 0.1, n_classes).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["features", "weights"], ["product"]),
            helper.make_node("Add", ["product", "bias"], ["logits"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["b", "t", n_bins])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["b", "t", n_classes])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    stamp(model, card.to_json())
    return model


def stamp(model: onnx.ModelProto, card: str) -> None:
    """Put a card, or anything that pretends to be one, into a model."""
    entry = model.metadata_props.add()
    entry.key, entry.value = CARD_KEY, card


def tiny_student(card: ModelCard | None = None, seed: int = 0) -> bytes:
    """The file."""
    return tiny_model(card, seed).SerializeToString()
