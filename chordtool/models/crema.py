"""The crema teacher: structured training for large-vocabulary chord recognition.

McFee and Bello, ISMIR 2017. Convolutions over a harmonic constant-Q transform, two
bidirectional GRU layers, and a softmax over the same 168 chords.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from chordtool import catalogue
from chordtool.decoding import Decoding
from chordtool.errors import LabelError, ModelError
from chordtool.models.card import ModelCard
from chordtool.models.runtime import PROVIDERS
from chordtool.models.runtime import onnxruntime as ort
from chordtool.models.teacher_frontends import CREMA_FRONT_END, harmonic_cqt_db
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import N_CLASSES, class_of

_SELF_TRANSITION: Final = 0.957154635467057
"""The reference's probability of staying on a chord; all others share the rest."""
_HIDDEN: Final = 128
_FLOOR: Final = np.float32(1e-30)


def load() -> Crema:
    """The crema teacher with the weights on this machine.

    Raises:
        ModelUnavailableError: they are not here.
        ModelError: they are damaged.
    """
    network, vocabulary = catalogue.weights("crema")
    return Crema(network, vocabulary)


class Crema:
    """The network, and the way from its order of classes to ours."""

    def __init__(self, network: Path, vocabulary: Path) -> None:
        """Load the network.

        Args:
            network: the published ONNX file.
            vocabulary: JSON list of the labels of its classes.

        Raises:
            ModelError: one of the files is not what it should be.
        """
        self._files = network, vocabulary
        try:
            self._session = _session(network)
            self._order = _order(vocabulary)
        except Exception as error:
            # onnx, protobuf and ONNX Runtime each raise what they please.
            raise ModelError(
                f"{network} is not the network of the crema teacher.",
                hint="Run: chordtool models download crema",
            ) from error
        described = catalogue.CATALOGUE["crema"]
        others = (1 - _SELF_TRANSITION) / (N_CLASSES - 1)
        self.card = ModelCard(
            name="crema",
            architecture="crema",
            front_end=CREMA_FRONT_END,
            segment_frames=None,
            decoding=Decoding(
                method="viterbi",
                change_penalty=float(np.log(_SELF_TRANSITION / others)),
            ),
            licence=described.licence,
            source=described.source,
            description=described.description,
        )

    def __reduce__(self) -> tuple[type[Crema], tuple[Path, Path]]:
        """Another process reads the files for itself: sessions cannot be pickled."""
        return Crema, self._files

    def features(self, samples: Samples) -> Features:
        """Two constant-Q transforms in decibels, float32 [frames, 216, 2], of float32 [n]."""
        return harmonic_cqt_db(samples)

    def logits(self, features: Features) -> Logits:
        """Log-probabilities of the 170 classes, float32 [frames, 170].

        Args:
            features: float32 [frames, 216, 2].
        """
        if len(features) == 0:
            return np.empty((0, N_CLASSES), np.float32)
        (probabilities,) = self._session.run(None, {"cqt": features[None]})
        ordered = np.asarray(probabilities, np.float32)[0][:, self._order]
        logits: Logits = np.log(np.maximum(ordered, _FLOOR))
        return logits


def _order(path: Path) -> NDArray[np.intp]:
    """For each of the 170 classes its place in the network's output."""
    places: dict[int, int] = {}
    for place, label in enumerate(json.loads(path.read_text("utf-8"))):
        try:
            places[class_of(label)] = place
        except LabelError as error:
            raise ValueError(str(error)) from None
    return np.array([places[index] for index in range(N_CLASSES)], np.intp)


def _session(path: Path) -> ort.InferenceSession:
    """A session on one thread with the posteriors of the chords as its one output."""
    model = onnx.load(str(path), load_external_data=False)
    _replace_loops(model.graph)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)


def _replace_loops(graph: onnx.GraphProto) -> None:
    """Put two GRU operators where the file spells recurrence out step by step.

    The conversion from Keras left four loops over the frames, of some thirty operators each;
    ONNX Runtime spends far longer on starting those than on the arithmetic in them.
    """
    for layer in (1, 2):
        joined = f"crema_chord/bidirectional_{layer}/concat:0"
        source = _loop_input(graph, layer)
        (old,) = (node for node in graph.node if joined in node.output)
        position = list(graph.node).index(old)
        graph.node.remove(old)
        for offset, node in enumerate(_gru(graph, layer, source, joined)):
            graph.node.insert(position + offset, node)
    (posteriors,) = (output for output in graph.output if output.name == "chord_tag")
    del graph.output[:]
    graph.output.append(posteriors)
    _drop_unused(graph)


def _loop_input(graph: onnx.GraphProto, layer: int) -> str:
    """Name of what the loops of a layer read, [frames, 1, width]."""
    prefix = f"crema_chord/bidirectional_{layer}/backward_gru_{layer}/ReverseV2:0"
    (reverse,) = (node for node in graph.node if prefix in node.output)
    return str(reverse.input[0])


def _gru(graph: onnx.GraphProto, layer: int, source: str, joined: str) -> list[onnx.NodeProto]:
    """A bidirectional GRU as Keras had it: hard sigmoid gates, reset before the product."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    constants: dict[str, Any] = {"w": [], "r": [], "b": []}
    for direction in ("forward", "backward"):
        prefix = f"crema_chord/bidirectional_{layer}/{direction}_gru_{layer}/gru_cell/"
        kernel, bias, recurrent = (
            numpy_helper.to_array(stored[f"{prefix}ReadVariableOp{suffix}/resource:0"])
            for suffix in ("", "_3", "_6")
        )
        constants["w"].append(kernel.T)
        constants["r"].append(recurrent.T)
        constants["b"].append(np.concatenate([bias, np.zeros_like(bias)]))
    constants["shape"] = np.array([-1, 1, 2 * _HIDDEN])
    names = {key: f"gru_{layer}/{key}" for key in constants}
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), names[key]))
    steps, swapped = f"gru_{layer}/steps", f"gru_{layer}/swapped"
    return [
        helper.make_node(
            "GRU",
            [source, names["w"], names["r"], names["b"]],
            [steps],
            hidden_size=_HIDDEN,
            direction="bidirectional",
            activations=["HardSigmoid", "Tanh"] * 2,
            activation_alpha=[0.2, 0.2],
            activation_beta=[0.5, 0.5],
        ),
        helper.make_node("Transpose", [steps], [swapped], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [swapped, names["shape"]], [joined]),
    ]


def _drop_unused(graph: onnx.GraphProto) -> None:
    """Remove the nodes and weights that no output needs."""
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)
    for tensor in list(graph.initializer):
        if tensor.name not in needed:
            graph.initializer.remove(tensor)
