"""Looking into an ONNX file before anything runs it.

A session is only made of a file that passed :func:`inspect`. The file is read here as the
protocol-buffer messages of onnx.proto, by a reader that knows just those and is bounded by the
file's size; importing the onnx package would take longer than transcribing a song.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from mmap import mmap
from typing import Final

from chordtool.errors import ModelError
from chordtool.models.card import CARD_KEY, MAX_CARD_BYTES, ModelCard

MAX_BYTES: Final = 512 << 20
MAX_NODES: Final = 50_000
_DOMAINS: Final = frozenset({b"", b"ai.onnx", b"com.microsoft"})
# What networks over features are made of. Nothing that loops, draws random numbers, reads
# strings or makes tensors whose size the file chooses freely at run time.
_OPERATORS: Final = frozenset(
    """
    Abs Add And ArgMax AveragePool BatchNormalization Cast Ceil Clip Concat Constant
    ConstantOfShape Conv ConvTranspose Cos CumSum Div Dropout Einsum Elu Equal Erf Exp Expand
    Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool Greater
    GreaterOrEqual GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf
    IsNaN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool
    Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow RNN Range Reciprocal ReduceL2 ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape ScatterND Selu Shape Sigmoid Sign Sin
    Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum Tan Tanh Tile Transpose Trilu
    Unsqueeze Where FusedMatMul BiasGelu SkipLayerNormalization FastGelu QuickGelu
    SimplifiedLayerNormalization QuantizeLinear DequantizeLinear MatMulInteger
    DynamicQuantizeLinear ConvInteger MatMulNBits
    """.split()
)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Bytes of an element for the data types that may occur.
_ELEMENT_BYTES: Final = {
    1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2,
}  # fmt: skip


@dataclass
class OnnxFacts:
    """What a file says of itself."""

    card: ModelCard
    inputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    """Shape of each input: sizes, and names for those that may vary."""
    outputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)


def inspect(data: bytes | mmap) -> OnnxFacts:
    """Check a file and read its card.

    Args:
        data: the whole file.

    Raises:
        ModelError: the file is no ONNX model that chordtool exported, or it holds something that
            such models have no use for: operators of other domains, functions, sub-graphs, data
            in other files, shapes that its bytes do not cover.
    """
    if len(data) > MAX_BYTES:
        raise ModelError(f"The model file is larger than {MAX_BYTES >> 20} MiB.")
    try:
        return _read_model(memoryview(data))
    except (IndexError, UnicodeDecodeError, ValueError, OverflowError):
        raise _not_ours("it is not an ONNX file, or it is cut off") from None


def _not_ours(why: str) -> ModelError:
    return ModelError(
        f"The model file cannot be used: {why}.",
        hint="Use a file that `chordtool export` wrote.",
    )


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Number, wire type and content of each field of a message."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, wire, value
            continue
        if wire == _BYTES:
            length, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("a field of no known type")
        if position + length > end:
            raise ValueError("a field reaches beyond its message")
        yield number, wire, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number that does not end")


def _read_model(message: memoryview) -> OnnxFacts:
    graph: memoryview | None = None
    card: str | None = None
    for number, _, value in _fields(message):
        if number == 7 and isinstance(value, memoryview):
            graph = value
        elif number == 14 and isinstance(value, memoryview):
            key, text = _pair(value)
            if key == CARD_KEY.encode():
                if len(text) > MAX_CARD_BYTES:
                    raise _not_ours("its card is larger than 1 MiB")
                card = text.decode()
        elif number in (20, 25):
            raise _not_ours("it defines training steps or functions of its own")
    if graph is None:
        raise _not_ours("it holds no graph")
    if card is None:
        raise _not_ours("it carries no chordtool card")
    facts = OnnxFacts(ModelCard.from_json(card))
    _check_graph(graph, facts)
    return facts


def _pair(message: memoryview) -> tuple[bytes, bytes]:
    parts = {n: bytes(v) for n, _, v in _fields(message) if isinstance(v, memoryview)}
    return parts.get(1, b""), parts.get(2, b"")


def _check_graph(message: memoryview, facts: OnnxFacts) -> None:
    nodes = 0
    for number, _, value in _fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            nodes += 1
            _check_node(value)
        elif number == 5:
            _check_tensor(value)
        elif number == 15:
            raise _not_ours("it holds sparse tensors")
        elif number in (11, 12):
            name, shape = _value_info(value)
            (facts.inputs if number == 11 else facts.outputs)[name] = shape
    if nodes > MAX_NODES:
        raise _not_ours(f"its graph has more than {MAX_NODES} nodes")


def _check_node(message: memoryview) -> None:
    operator = domain = b""
    for number, _, value in _fields(message):
        if not isinstance(value, memoryview):
            continue
        if number == 4:
            operator = bytes(value)
        elif number == 7:
            domain = bytes(value)
        elif number == 5:
            for inner, _, content in _fields(value):
                if inner in (6, 11, 22, 23):
                    raise _not_ours("it holds sub-graphs or sparse tensors")
                if inner in (5, 10) and isinstance(content, memoryview):
                    _check_tensor(content)
    if domain not in _DOMAINS:
        raise _not_ours(f"it uses operators of the domain {_shown(domain)}")
    if operator.decode() not in _OPERATORS:
        raise _not_ours(f"it uses the operator {_shown(operator)}")


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("ascii", "replace"))


def _check_tensor(message: memoryview) -> None:
    """A tensor's bytes must lie in the file and cover its shape."""
    dims: list[int] = []
    data_type = held = 0
    for number, wire, value in _fields(message):
        if number == 1:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == 2 and isinstance(value, int):
            data_type = value
        elif number == 13 or (number == 14 and value):
            raise _not_ours("its weights lie in another file")
        elif number in (4, 5, 7, 9, 10, 11):
            held += len(value) if isinstance(value, memoryview) else 8
        elif number == 6 or wire not in (_VARINT, _BYTES):
            raise _not_ours("it holds text where numbers belong")
    if any(d < 0 or d > 1 << 40 for d in dims):
        raise _not_ours("a tensor has an absurd shape")
    size = _ELEMENT_BYTES.get(data_type)
    if size is None:
        raise _not_ours(f"a tensor has the data type {data_type}")
    # Numbers that are packed as varints may take fewer bytes than they mean, but at least one.
    if prod(dims) > held or (held and prod(dims) * size > 16 * held):
        raise _not_ours("a tensor has an absurd shape")


def _packed(message: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(message):
        value, position = _varint(message, position)
        values.append(value)
    return values


def _value_info(message: memoryview) -> tuple[str, tuple[int | str, ...]]:
    name = ""
    shape: tuple[int | str, ...] = ()
    for number, _, value in _fields(message):
        if number == 1 and isinstance(value, memoryview):
            name = bytes(value).decode()
        elif number == 2 and isinstance(value, memoryview):
            shape = _shape(value)
    return name, shape


def _shape(message: memoryview) -> tuple[int | str, ...]:
    sizes: list[int | str] = []
    for kind, _, tensor in _fields(message):
        if kind != 1 or not isinstance(tensor, memoryview):
            raise _not_ours("an input or output is no tensor")
        for number, _, shape in _fields(tensor):
            if number != 2 or not isinstance(shape, memoryview):
                continue
            for _, _, dimension in _fields(shape):
                size: int | str = ""
                if isinstance(dimension, memoryview):
                    for inner, _, value in _fields(dimension):
                        if inner == 1 and isinstance(value, int):
                            size = value
                        elif inner == 2 and isinstance(value, memoryview):
                            size = bytes(value).decode()
                sizes.append(size)
    return tuple(sizes)
