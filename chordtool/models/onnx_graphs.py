"""The students as ONNX graphs, written out operator by operator.

A tracing exporter would keep what training needs (weights in the order that it stores them, a
normalisation with a factor of its own) and let ONNX Runtime tidy up each time a session is made.
Here weights are stored the way they are multiplied and nothing is left to optimise.

The name of an initialiser says how to get the parameter back: ``x`` is the parameter as it is,
``x.T`` its transpose, ``x+y+z.T`` several of equal height below each other, then transposed, and
``x.folded`` a scale of :class:`chordtool.models.btc.LayerNorm` times ``sqrt((n - 1) / n)``.
Names without a dot are constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]
Weights = Mapping[str, Array]

INPUT: Final = "features"
OUTPUT: Final = "logits"
OPSET: Final = 18
"""Understood by ONNX Runtime 1.14 and later."""
IR_VERSION: Final = 8

BTC_HEADS: Final = 4
BTC_POSITIONS: Final = 108
BTC_EPSILON: Final = 1e-12
TORCH_EPSILON: Final = 1e-5
_FAR: Final = np.float32(-1e9)
"""Added to the scores of what may not be seen."""


class _Graph:
    """Operators and initialisers, each given a name as it comes."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: dict[str, Array | NDArray[np.int64]] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """An operator with one output, whose name is returned."""
        return self.ops(kind, *inputs, outputs=1, **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        names = [f"v{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        self.initialisers.setdefault(name, np.asarray(value, dtype))
        return name

    def integers(self, *values: int) -> str:
        name = "i" + "_".join(str(v) for v in values).replace("-", "m")
        return self.constant(name, values, np.int64)

    def weight(self, name: str) -> str:
        """A parameter as it is."""
        self.initialisers[name] = self.weights[name]
        return name

    def linear(self, x: str, *names: str) -> str:
        """``x W^T + b``, with the weights of several layers below each other.

        Args:
            x: [..., width].
            names: of the layers, without ``.weight``; the first one's bias is added if it has one.
        """
        stored = "+".join(f"{name}.weight" for name in names) + ".T"
        stacked = np.concatenate([self.weights[f"{name}.weight"] for name in names])
        self.initialisers[stored] = np.ascontiguousarray(stacked.T)
        product = self.op("MatMul", x, stored)
        bias = f"{names[0]}.bias"
        return self.op("Add", product, self.weight(bias)) if bias in self.weights else product

    def btc_norm(self, x: str, name: str) -> str:
        """:class:`chordtool.models.btc.LayerNorm`."""
        gamma = self.weights[f"{name}.gamma"]
        folded = f"{name}.gamma.folded"
        self.initialisers[folded] = gamma * np.float32(_fold(len(gamma)))
        beta = self.weight(f"{name}.beta")
        return self.op("LayerNormalization", x, folded, beta, axis=-1, epsilon=BTC_EPSILON)

    def torch_norm(self, x: str, name: str) -> str:
        """:class:`torch.nn.LayerNorm`."""
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.op("LayerNormalization", x, weight, bias, axis=-1, epsilon=TORCH_EPSILON)

    def attention(
        self, queries: str, keys: str, values: str, width: int, n_heads: int, bias: str = ""
    ) -> str:
        """Scaled dot-product attention over [batch, frames, width], heads side by side."""
        depth = width // n_heads
        scaled = self.op("Mul", queries, self.constant(f"scale{depth}", depth**-0.5))
        heads = self.integers(0, 0, n_heads, depth)
        rows, columns, contents = (
            self.op("Transpose", self.op("Reshape", x, heads), perm=order)
            for x, order in (
                (scaled, (0, 2, 1, 3)),
                (keys, (0, 2, 3, 1)),
                (values, (0, 2, 1, 3)),
            )
        )
        scores = self.op("MatMul", rows, columns)
        if bias:
            scores = self.op("Add", scores, bias)
        context = self.op("MatMul", self.op("Softmax", scores, axis=-1), contents)
        side_by_side = self.op("Transpose", context, perm=(0, 2, 1, 3))
        return self.op("Reshape", side_by_side, self.integers(0, 0, width))

    def frame_numbers(self) -> str:
        """0, 1, ... for each frame of the input, float32 [frames]."""
        shape = self.op("Shape", INPUT, start=1, end=2)
        n_frames = self.op("Squeeze", shape, self.integers(0))
        zero, one = (self.constant(f"n{k}", k, np.int64) for k in (0, 1))
        return self.op("Cast", self.op("Range", zero, n_frames, one), to=TensorProto.FLOAT)

    def positions(self, frames: str) -> str:
        """Of :func:`chordtool.models.btc.timing_signal`, from the frames' numbers."""
        last = self.op("ReduceMax", frames, keepdims=1)
        most = self.constant("last_position", BTC_POSITIONS - 1)
        return self.op("Mul", frames, self.op("Div", most, self.op("Max", last, most)))


def _fold(width: int) -> float:
    return math.sqrt((width - 1) / width)


def _btc(graph: _Graph) -> str:
    top = "self_attn_layers"
    width = len(graph.weights[f"{top}.embedding_proj.weight"])
    frames = graph.frame_numbers()
    down, across = (graph.op("Unsqueeze", frames, graph.integers(k)) for k in (1, 0))
    rates = np.exp(np.arange(width // 2) * -(math.log(10_000.0) / (width // 2 - 1)))
    positions = graph.op("Unsqueeze", graph.positions(frames), graph.integers(1))
    angles = graph.op("Mul", positions, graph.constant("rates", rates[None]))
    signal = graph.op("Concat", graph.op("Sin", angles), graph.op("Cos", angles), axis=-1)
    x = graph.op("Add", graph.linear(INPUT, f"{top}.embedding_proj"), signal)
    far, near = graph.constant("far", _FAR), graph.constant("near", 0.0)
    past = graph.op("Where", graph.op("Less", down, across), far, near)
    future = graph.op("Where", graph.op("Greater", down, across), far, near)
    for k in range(_count(graph.weights, f"{top}.self_attn_layers.")):
        layer = f"{top}.self_attn_layers.{k}"
        both = (
            _btc_block(graph, x, f"{layer}.attn_block", width, past),
            _btc_block(graph, x, f"{layer}.backward_attn_block", width, future),
        )
        x = graph.linear(graph.op("Concat", *both, axis=-1), f"{layer}.linear")
    return graph.linear(graph.btc_norm(x, f"{top}.layer_norm"), "output_layer.output_projection")


def _btc_block(graph: _Graph, x: str, name: str, width: int, bias: str) -> str:
    heads = f"{name}.multi_head_attention"
    y = graph.btc_norm(x, f"{name}.layer_norm_mha")
    projections = (f"{heads}.{part}_linear" for part in ("query", "key", "value"))
    stacked = graph.linear(y, *projections)
    queries, keys, values = graph.ops("Split", stacked, outputs=3, axis=-1, num_outputs=3)
    context = graph.attention(queries, keys, values, width, BTC_HEADS, bias)
    x = graph.op("Add", x, graph.linear(context, f"{heads}.output_linear"))
    y = graph.btc_norm(x, f"{name}.layer_norm_ffn")
    y = graph.op("Transpose", y, perm=(0, 2, 1))
    for k in range(2):
        conv = f"{name}.positionwise_convolution.layers.{k}.conv"
        parameters = (graph.weight(f"{conv}.weight"), graph.weight(f"{conv}.bias"))
        y = graph.op("Conv", y, *parameters, kernel_shape=(3,), pads=(1, 1))
        y = graph.op("Relu", y)
    return graph.op("Add", x, graph.op("Transpose", y, perm=(0, 2, 1)))


def _two_encoders_one_decoder(graph: _Graph) -> str:
    weights = graph.weights
    n_bins = weights["classifier.weight"].shape[1]
    group = weights["frequency_encoder.layers.0.attention.queries.weight"].shape[1]
    # [batch, frames, bins] -> [batch * frames, groups, bins of a group]
    x = graph.op("Reshape", INPUT, graph.integers(-1, n_bins // group, group))
    numbers = graph.constant("groups", np.arange(n_bins // group))
    x = graph.op("Add", x, _positions(graph, numbers, group, 0.01))
    x = _encoder(graph, x, "frequency_encoder", group, heads=2)
    shape = graph.op("Shape", INPUT)
    frequency = _encoder_end(graph, graph.op("Reshape", x, shape), "frequency_end")
    frames = graph.frame_numbers()
    x = graph.op("Add", INPUT, _positions(graph, frames, n_bins, 0.02))
    x = _encoder(graph, x, "temporal_encoder", n_bins, heads=4)
    temporal = _encoder_end(graph, x, "temporal_end")
    y = graph.op("Add", frequency, temporal)
    y = graph.op("Add", y, _positions(graph, frames, n_bins, 0.01))
    for k in range(_count(weights, "decoder.layers.")):
        layer = f"decoder.layers.{k}"
        for attention in ("self_attention", "cross_attention"):
            context = y if attention == "self_attention" else temporal
            attended = _attend(graph, y, context, f"{layer}.{attention}", n_bins, heads=4)
            y = graph.torch_norm(graph.op("Add", y, attended), "decoder.norm")
        y = _feed_forward(graph, y, f"{layer}.feed_forward")
    return graph.linear(y, "classifier")


def _encoder(graph: _Graph, x: str, name: str, width: int, heads: int) -> str:
    for k in range(_count(graph.weights, f"{name}.layers.")):
        layer = f"{name}.layers.{k}"
        x = graph.op("Add", x, _attend(graph, x, x, f"{layer}.attention", width, heads))
        x = _feed_forward(graph, x, f"{layer}.feed_forward")
    return x


def _encoder_end(graph: _Graph, x: str, name: str) -> str:
    return graph.torch_norm(graph.linear(x, f"{name}.projection"), f"{name}.norm")


def _attend(graph: _Graph, x: str, context: str, name: str, width: int, heads: int) -> str:
    """Attention times its ReZero scalar."""
    queries = graph.linear(x, f"{name}.queries")
    keys, values = graph.ops(
        "Split", graph.linear(context, f"{name}.keys_values"), outputs=2, axis=-1, num_outputs=2
    )
    attended = graph.attention(queries, keys, values, width, heads)
    return graph.op("Mul", graph.linear(attended, f"{name}.output"), graph.weight(f"{name}.alpha"))


def _feed_forward(graph: _Graph, x: str, name: str) -> str:
    y = graph.torch_norm(graph.linear(x, f"{name}.widen"), f"{name}.inner_norm")
    y = graph.linear(graph.op("Relu", y), f"{name}.narrow")
    y = graph.op("Add", x, graph.op("Mul", y, graph.weight(f"{name}.alpha")))
    return graph.torch_norm(y, f"{name}.norm")


def _positions(graph: _Graph, numbers: str, width: int, scale: float) -> str:
    """``positional_encoding`` of the published student times a scale, [positions, width]."""
    column = np.arange(width)
    rates = graph.constant(f"rates{width}", 10_000.0 ** (-2.0 * column / width))
    even = graph.constant(f"even{width}", column % 2 == 0, np.bool_)
    down = graph.op("Unsqueeze", numbers, graph.integers(1))
    angles = graph.op("Mul", down, rates)
    waves = graph.op("Where", even, graph.op("Sin", angles), graph.op("Cos", angles))
    return graph.op("Mul", waves, graph.constant(f"position{round(100 * scale)}", scale))


def _count(weights: Weights, prefix: str) -> int:
    """How many layers have names that begin so."""
    return len({k[len(prefix) :].split(".")[0] for k in weights if k.startswith(prefix)})


WRITERS: Final[dict[str, Callable[[_Graph], str]]] = {
    "btc": _btc,
    "2e1d": _two_encoders_one_decoder,
}
"""Who writes the graph of an architecture."""


def write_graph(
    architecture: str, weights: Weights, n_bins: int, n_classes: int
) -> onnx.ModelProto:
    """A student as an ONNX model, without a card.

    Args:
        architecture: a key of :data:`WRITERS`.
        weights: float32 parameters by their names in torch.
        n_bins: columns of the input ``features``, float32 [batch, frames, n_bins].
        n_classes: columns of the output ``logits``, float32 [batch, frames, n_classes].
    """
    graph = _Graph(weights)
    last = WRITERS[architecture](graph)
    graph.nodes[-1].output[0] = OUTPUT
    assert last not in graph.initialisers, "the graph ends in an operator"
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "frames", width])
        for name, width in ((INPUT, n_bins), (OUTPUT, n_classes))
    ]
    initialisers = [
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in graph.initialisers.items()
    ]
    return helper.make_model(
        helper.make_graph(graph.nodes, architecture, ports[:1], ports[1:], initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="chordtool",
    )


def read_weights(data: bytes) -> dict[str, Array]:
    """The parameters in a file that :func:`write_graph` wrote, by their names in torch.

    Args:
        data: the file, which :func:`chordtool.models.onnx_file.inspect` let pass.

    Raises:
        Exception: whatever onnx and numpy raise on files that are not ours.
    """
    found: dict[str, Array] = {}
    for tensor in onnx.load_model_from_string(data).graph.initializer:
        if "." not in tensor.name:
            continue
        value = numpy_helper.to_array(tensor)
        if tensor.name.endswith(".folded"):
            value = value / np.float32(_fold(max(2, len(value))))
            found[tensor.name.removesuffix(".folded")] = value
        elif tensor.name.endswith(".T"):
            names: Sequence[str] = tensor.name.removesuffix(".T").split("+")
            for name, part in zip(names, np.split(value.T, len(names)), strict=True):
                found[name] = np.ascontiguousarray(part)
        else:
            found[tensor.name] = np.array(value)
    return found
