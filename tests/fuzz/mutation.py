"""Making bad input out of good: bytes, JSON documents, safetensors headers, ONNX messages."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutation = Callable[[Random, bytes], bytes]

_NUMBERS = (0, 1, -1, 127, 128, 255, 256, 32767, 65535, 1 << 20, (1 << 31) - 1, 1 << 31,
            (1 << 32) - 1, (1 << 53) + 1, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
_ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e-320, 1e308, 1e400, 10**400, -(10**20), 2**31,
    2**63, 2**64, "", "N", "x" * 5000, "\ud800", "\x00", "cqt", "../../etc/passwd", "a" * 64, [],
    {}, [[]], [None] * 50, {"schema": 999}, {"": {}},
)  # fmt: skip


def mutate_bytes(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """One to eight random edits; the first kilobyte, where headers are, gets half of them."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 5, 8))):
        _edit(rng, found, tokens)
    return bytes(found)


def _edit(rng: Random, data: bytearray, tokens: Sequence[bytes]) -> None:
    reach = len(data) if rng.random() < 0.5 else min(len(data), 1024)
    at = rng.randrange(reach + 1)
    length = min(len(data) - at, rng.choice((1, 2, 4, 8, 64, 1024)))
    kind = rng.randrange(9)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = rng.randbytes(rng.choice((1, 2, 16, 300)))
    elif kind == 4:
        data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        size = rng.choice((1, 2, 4, 8))
        value = rng.choice(_NUMBERS) % (1 << 8 * size)
        data[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 7 and tokens:
        data[at : at + rng.choice((0, length))] = rng.choice(tokens)
    else:
        other = rng.randrange(len(data) + 1)
        data[at : at + length] = data[other : other + length]


def mutate_json(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """The document with some members replaced, dropped, doubled or wrapped; or just its bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(rng, data, tokens)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data, tokens)
    words = [token.decode("utf-8", "replace") for token in tokens]
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = _mutated(rng, document, words)
    return _dumped(document)


def _dumped(document: Any) -> bytes:
    try:
        return json.dumps(document).encode()
    except (ValueError, RecursionError):  # integers of thousands of digits
        return b"{}"


def _mutated(rng: Random, value: Any, words: Sequence[str]) -> Any:
    deeper = rng.random() < 0.85
    if deeper and isinstance(value, dict) and value:
        key = rng.choice(list(value))
        what = rng.random()
        changed = dict(value)
        if what < 0.1:
            del changed[key]
        elif what < 0.2:
            changed[rng.choice([*words, "x"])] = changed[key]
        else:
            changed[key] = _mutated(rng, value[key], words)
        return changed
    if deeper and isinstance(value, list) and value:
        at = rng.randrange(len(value))
        what = rng.random()
        if what < 0.1:
            return value[:at] + value[at + 1 :]
        if what < 0.2:
            return value[: at + 1] * 2 + value[at:]
        return [*value[:at], _mutated(rng, value[at], words), *value[at + 1 :]]
    what = rng.random()
    if what < 0.2 and isinstance(value, int | float) and not isinstance(value, bool):
        return rng.choice((-value, value * 10**9, value + 1, repr(value)[:20], [value]))
    if what < 0.4 and isinstance(value, str) and value:
        return mutate_bytes(rng, value.encode("utf-8", "replace")).decode("utf-8", "replace")
    if what < 0.5 and words:
        return rng.choice(words)
    if what < 0.53:
        return _nested(value, rng.choice((3, 100, 1500)))
    return rng.choice(_ODD_VALUES)


def _nested(value: Any, depth: int) -> Any:
    for _ in range(min(depth, 400)):
        value = [value]
    return value


def mutate_lines(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """JSON lines: one line is mutated, or lines are dropped, doubled, swapped, cut."""
    lines = data.splitlines(keepends=True)
    if not lines or rng.random() < 0.2:
        return mutate_bytes(rng, data, tokens)
    at = rng.randrange(len(lines))
    what = rng.random()
    if what < 0.7:
        lines[at] = mutate_json(rng, lines[at].rstrip(b"\n"), tokens) + b"\n"
    elif what < 0.8:
        lines.insert(rng.randrange(len(lines)), lines[at])
    elif what < 0.9:
        lines[at] = lines[at][: rng.randrange(len(lines[at]) + 1)]
    else:
        del lines[at]
    return b"".join(lines)


def mutate_safetensors(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """The header is mutated as JSON, its length kept right, the metadata's JSON within it too."""
    if rng.random() < 0.3 or len(data) < 8:
        return mutate_bytes(rng, data, tokens)
    (length,) = struct.unpack_from("<Q", data)
    header, rest = data[8 : 8 + length], data[8 + length :]
    try:
        document = json.loads(header)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data, tokens)
    metadata = document.get("__metadata__") if isinstance(document, dict) else None
    if isinstance(metadata, dict) and metadata and rng.random() < 0.6:
        key = rng.choice(list(metadata))
        if isinstance(metadata[key], str):
            inner = mutate_json(rng, metadata[key].encode("utf-8", "replace"), tokens)
            metadata[key] = inner.decode("utf-8", "replace")
        header = _dumped(document)
    else:
        header = mutate_json(rng, header, tokens)
    if rng.random() < 0.2:
        rest = mutate_bytes(rng, rest)
    return struct.pack("<Q", len(header)) + header + rest


def mutate_archive(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """An archive that torch saved with another pickle in it; sometimes just its bytes."""
    if rng.random() < 0.35:
        return mutate_bytes(rng, data, tokens)
    packed = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(packed, "w") as new:
            for entry in old.infolist():
                content = old.read(entry)
                if entry.filename.endswith(".pkl"):
                    content = mutate_bytes(rng, content, tokens)
                new.writestr(entry, content)
    except Exception:  # what damage makes zipfile raise is not written down
        return mutate_bytes(rng, data, tokens)
    return packed.getvalue()


def mutate_onnx(rng: Random, data: bytes, tokens: Sequence[bytes] = ()) -> bytes:
    """The message with fields changed and its structure whole; sometimes just its bytes."""
    import onnx

    if rng.random() < 0.35:
        return mutate_bytes(rng, data, tokens)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception:  # protobuf's errors depend on its implementation
        return mutate_bytes(rng, data, tokens)
    for _ in range(rng.choice((1, 1, 2, 3))):
        what = rng.random()
        if what < 0.3 and model.metadata_props:
            entry = rng.choice(model.metadata_props)
            inner = mutate_json(rng, _bytes(entry.value), tokens)
            entry.value = inner.decode("utf-8", "replace")
        elif what < 0.5 and model.graph.initializer:
            _mutate_tensor(rng, rng.choice(model.graph.initializer))
        else:
            _mutate_message(rng, model, tokens, 6)
    try:
        return bytes(model.SerializeToString())
    except Exception:  # text that is not UTF-8
        return data


def _mutate_tensor(rng: Random, tensor: Any) -> None:
    what = rng.randrange(4)
    if what == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_NUMBERS[:-1])
    elif what == 1:
        tensor.dims.append(rng.choice(_NUMBERS[:-1]))
    elif what == 2:
        tensor.data_type = rng.randrange(-1, 26)
    else:
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../secret"


def _mutate_message(rng: Random, message: Any, tokens: Sequence[bytes], depth: int) -> None:
    """Change one field of a message, or of one inside it."""
    present = message.ListFields()
    if not present:
        return
    field, value = rng.choice(present)
    repeated = not isinstance(value, str | bytes | int | float) and hasattr(value, "__len__")
    if field.message_type is not None:
        inner = rng.choice(value) if repeated and len(value) else value
        if repeated and rng.random() < 0.15:
            if rng.random() < 0.5:
                del value[rng.randrange(len(value))]
            else:
                value.add().CopyFrom(inner)
        elif depth:
            _mutate_message(rng, inner, tokens, depth - 1)
        return
    new = _odd_for(rng, value[0] if repeated and len(value) else value, tokens)
    try:
        if repeated:
            value[rng.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)
    except (TypeError, ValueError, IndexError):
        return  # out of the field's range


def _odd_for(rng: Random, value: Any, tokens: Sequence[bytes]) -> Any:
    if isinstance(value, bytes):
        return mutate_bytes(rng, value, tokens)
    if isinstance(value, str):
        word = rng.choice(tokens).decode("utf-8", "replace") if tokens else "x"
        return rng.choice((word, value + "x", "", "features", "logits", "Loop"))
    if isinstance(value, float):
        return rng.choice((0.0, float("nan"), 1e30, -1.0))
    return rng.choice(_NUMBERS)


def _bytes(text: str | bytes) -> bytes:
    # protobuf gives text that is not valid UTF-8 back as bytes.
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")
