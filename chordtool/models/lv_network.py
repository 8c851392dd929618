"""The network of the lv teacher, computed a stretch of frames at a time.

Ten convolutions, each followed by an instance normalisation over the whole recording and a
SELU, then a bidirectional LSTM and a linear layer (Jiang et al., ISMIR 2019). In one pass over
a whole recording the activations of a song take gigabytes and every step waits for memory.
Here each layer goes over the recording in stretches that stay in the cache: it normalises and
activates what the layer before it left, convolves, and adds up the sums that the next layer's
normalisation needs. The result is that of the whole graph, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from chordtool.errors import ModelError
from chordtool.models.runtime import PROVIDERS
from chordtool.models.runtime import onnxruntime as ort

Array = NDArray[np.float32]

N_INPUTS: Final = 252
"""Constant-Q bins that the network reads."""
N_OUTPUTS: Final = 100
"""Logits of all heads."""

_LAYERS: Final = ("1a", "1b", "1c", "2a", "2b", "2c", "3a", "3b", "4a", "4b")
_POOLS: Final = {"1c": 3, "2c": 3, "3b": 4}
"""Bins pooled after a layer. A maximum commutes with normalising and activating, which rise."""
_HIDDEN: Final = 96
_EPSILON: Final = 1e-5
_SELU_SCALE: Final = 1.0507009873554805
_SELU_ALPHA: Final = 1.6732632423543772
_SHIFT: Final = math.log(_SELU_ALPHA)
"""What a layer's input is moved by, so that its exponential comes out times alpha."""
_STRETCH: Final = 128


@dataclass(frozen=True)
class _Layer:
    session: ort.InferenceSession
    channels: int


class _Normalisation(NamedTuple):
    """``values * scale + shift``; float32 [channels, 1, 1] each."""

    scale: Array
    shift: Array


class LvNetwork:
    """One fold: constant-Q magnitudes in, logits of the six heads out."""

    def __init__(self, path: Path) -> None:
        """Load a fold.

        Raises:
            ModelError: the file is not such a network.
        """
        self._path = path
        try:
            weights = _weights(path)
            self._layers = [_layer(name, weights) for name in _LAYERS]
            self._recurrent = _recurrent(weights)
        except Exception as error:
            # onnx, protobuf and ONNX Runtime each raise what they please.
            raise ModelError(
                f"{path} is not a network of the lv teacher.",
                hint="Run: chordtool models download lv",
            ) from error

    def __reduce__(self) -> tuple[type[LvNetwork], tuple[Path]]:
        """Another process reads the file for itself: sessions cannot be pickled."""
        return LvNetwork, (self._path,)

    def run(self, magnitudes: Array) -> Array:
        """Logits of a recording.

        Args:
            magnitudes: float32 [frames, 252], frames >= 1.

        Returns:
            float32 [frames, 100], the heads side by side.
        """
        pieces = [
            magnitudes[None, None, first : first + _STRETCH]
            for first in range(0, len(magnitudes), _STRETCH)
        ]
        awaited: _Normalisation | None = None
        for layer in self._layers:
            awaited = _convolve(layer, pieces, awaited)
        assert awaited is not None, "there are layers"
        last = np.concatenate(pieces, axis=2)[0] * awaited.scale + awaited.shift
        sequence = np.ascontiguousarray(_elu(last).transpose(1, 0, 2))
        (logits,) = self._recurrent.run(None, {"x": sequence.reshape(len(magnitudes), 1, -1)})
        return np.asarray(logits, np.float32)


def _convolve(layer: _Layer, pieces: list[Array], awaited: _Normalisation | None) -> _Normalisation:
    """Normalise and activate the pieces, replace each by its convolution.

    Args:
        layer: the convolution.
        pieces: float32 [1, channels, frames, bins] each, in order.
        awaited: the normalisation that the pieces have still to go through; ``None`` for the
            network's input, which is not activated either.

    Returns:
        The normalisation that the new pieces have to go through.
    """
    sums, squares, count = np.zeros(layer.channels), np.zeros(layer.channels), 0
    # Frames before the first and after the last are zero once they are activated.
    beyond = (-awaited.shift / awaited.scale)[:, 0] if awaited else np.zeros((1, 1), np.float32)
    before = beyond
    for k, piece in enumerate(pieces):
        after = pieces[k + 1][0, :, 0] if k + 1 < len(pieces) else beyond
        _, channels, frames, bins = piece.shape
        block = np.empty((1, channels, frames + 2, bins), np.float32)
        block[0, :, 0], block[0, :, -1] = before, after
        before = piece[0, :, -1]
        block[0, :, 1:-1] = piece[0]
        if awaited:
            block *= awaited.scale
            block += awaited.shift + np.float32(_SHIFT)
        raw, *pooled = layer.session.run(None, {"x": block})
        rows = raw.reshape(layer.channels, -1)
        sums += rows @ np.ones(rows.shape[1], np.float32)
        squares += np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
        count += rows.shape[1]
        pieces[k] = pooled[0] if pooled else raw
    mean = sums / count
    deviation = np.sqrt(np.maximum(squares / count - mean**2, 0) + _EPSILON)
    return _Normalisation(_column(1 / deviation), _column(-mean / deviation))


def _column(values: NDArray[np.float64]) -> Array:
    return values.astype(np.float32).reshape(-1, 1, 1)


def _elu(values: Array) -> Array:
    """SELU without its scale, which the next layer's weights hold."""
    negative = np.float32(_SELU_ALPHA) * np.expm1(np.minimum(values, 0))
    activated: Array = np.maximum(values, 0) + negative
    return activated


def _weights(path: Path) -> dict[str, Array]:
    """The network's weights by name: those of the convolutions as trained, the rest renamed."""
    graph = onnx.load(str(path), load_external_data=False).graph
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    named = {name.removeprefix("model."): value for name, value in stored.items()}
    (lstm,) = (node for node in graph.node if node.op_type == "LSTM")
    (linear,) = (node for node in graph.node if node.op_type == "MatMul")
    named |= {f"lstm.{key}": stored[name] for key, name in zip("wrb", lstm.input[1:4], strict=True)}
    named["fc.weight"], named["fc.bias"] = stored[linear.input[1]], named["final_fc1.bias"]
    return named


def _layer(name: str, weights: dict[str, Array]) -> _Layer:
    """Activation of what comes in, convolution, and pooling beside it where there is one.

    The sums for the normalisation need the convolution itself, so both come out.
    """
    weight = weights[f"audio_feature_block.conv{name}.weight"]
    constants = {"bias": weights[f"audio_feature_block.conv{name}.bias"]}
    nodes, activated = [], "x"
    if name != _LAYERS[0]:
        # max(u, 0) + alpha * exp(min(u, 0)) - alpha of u = x - log(alpha), in few steps, each of
        # which ONNX Runtime vectorises; its Selu is twice as slow.
        constants |= {
            "alpha": np.float32(_SELU_ALPHA),
            "zero": np.float32(_SHIFT),
            "offset": np.float32(_SELU_ALPHA + _SHIFT),
        }
        nodes += [
            helper.make_node("Exp", ["x"], ["exponential"]),
            helper.make_node("Min", ["exponential", "alpha"], ["negative"]),
            helper.make_node("Max", ["x", "zero"], ["positive"]),
            helper.make_node("Add", ["positive", "negative"], ["sum"]),
            helper.make_node("Sub", ["sum", "offset"], ["activated"]),
        ]
        weight, activated = weight * np.float32(_SELU_SCALE), "activated"
    constants["weight"] = weight
    sides = 0 if name.startswith("4") else 1
    nodes.append(
        helper.make_node(
            "Conv",
            [activated, "weight", "bias"],
            ["convolved"],
            kernel_shape=[3, 3],
            pads=[0, sides, 0, sides],
        )
    )
    outputs = ["convolved"]
    if name in _POOLS:
        width = [1, _POOLS[name]]
        nodes.append(
            helper.make_node("MaxPool", outputs, ["pooled"], kernel_shape=width, strides=width)
        )
        outputs.append("pooled")
    shape = [1, weight.shape[1], "frames", "bins"]
    return _Layer(_session(nodes, shape, outputs, constants), weight.shape[0])


def _recurrent(weights: dict[str, Array]) -> ort.InferenceSession:
    """The bidirectional LSTM and the linear layer."""
    constants = {
        "w": weights["lstm.w"] * np.float32(_SELU_SCALE),
        "r": weights["lstm.r"],
        "b": weights["lstm.b"],
        "shape": np.array([-1, 2 * _HIDDEN]),
        "weight": weights["fc.weight"],
        "bias": weights["fc.bias"],
    }
    nodes = [
        helper.make_node(
            "LSTM", ["x", "w", "r", "b"], ["h"], hidden_size=_HIDDEN, direction="bidirectional"
        ),
        helper.make_node("Transpose", ["h"], ["joined"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["joined", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    n_inputs = weights["lstm.w"].shape[2]
    return _session(nodes, ["frames", 1, n_inputs], ["logits"], constants)


def _session(
    nodes: list[onnx.NodeProto],
    input_shape: Sequence[int | str],
    outputs: list[str],
    constants: dict[str, Any],
) -> ort.InferenceSession:
    """A session on one thread from the input ``x`` to the outputs."""
    graph = helper.make_graph(
        nodes,
        "lv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The layers' results outlive the run; an arena each would keep the memory of all of them.
    # And one block for everything inside a run would come fresh from the system every time.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=PROVIDERS)
