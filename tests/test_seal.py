from __future__ import annotations

import random

import onnx
import pytest

from chordtool.errors import ModelError
from chordtool.models.seal import KEY, LENGTH, check_seal, seal
from tests.tiny_student import tiny_student


@pytest.fixture(scope="module")
def plain() -> bytes:
    model = onnx.load_model_from_string(tiny_student())
    del model.metadata_props[1:]
    return model.SerializeToString(deterministic=True)


def test_a_seal_is_metadata_like_any_other(plain: bytes) -> None:
    sealed = seal(plain)
    assert len(sealed) == len(plain) + LENGTH
    entries = {p.key: p.value for p in onnx.load_model_from_string(sealed).metadata_props}
    assert len(entries[KEY.decode()]) == 64
    check_seal(sealed, "it")


def test_sealing_twice_is_sealing_once(plain: bytes) -> None:
    assert seal(seal(plain)) == seal(plain)


def test_a_file_without_a_seal_passes(plain: bytes) -> None:
    check_seal(plain, "it")
    check_seal(b"", "it")


def test_any_flipped_bit_is_noticed(plain: bytes) -> None:
    sealed = seal(plain)
    chance = random.Random(1)
    for _ in range(200):
        damaged = bytearray(sealed)
        place = chance.randrange(len(sealed))
        damaged[place] ^= 1 << chance.randrange(8)
        if len(sealed) - LENGTH <= place < len(sealed) - 64:
            continue  # the seal's own name: what it seals is whole
        with pytest.raises(ModelError, match="it is damaged"):
            check_seal(bytes(damaged), "it")


def test_a_file_that_is_cut_is_no_sealed_one(plain: bytes) -> None:
    check_seal(seal(plain)[:-10], "it")  # what reads the file says that it is cut off
