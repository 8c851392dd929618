"""A network of unknown origin cannot take the machine."""

from __future__ import annotations

import resource
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import helper, numpy_helper

from chordtool import audio
from chordtool.bounds import bounded_memory
from chordtool.errors import AudioError, ModelError
from chordtool.models.onnx import OnnxModel
from tests.clips import CODECS, encode
from tests.memory import measured
from tests.tiny_student import tiny_model

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the limit")


@linux_only
def test_a_few_bytes_cannot_ask_for_a_terabyte() -> None:
    model = tiny_model()
    graph = model.graph
    graph.node[-1].output[0] = "whole"
    graph.initializer.append(numpy_helper.from_array(np.array([1 << 38]), "shape"))
    graph.node.extend(
        [
            helper.make_node("ReduceSum", ["whole"], ["one"], keepdims=0),
            helper.make_node("Expand", ["one", "shape"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["sum"], keepdims=0),
            helper.make_node("Add", ["whole", "sum"], ["logits"]),
        ]
    )
    hostile = OnnxModel(model.SerializeToString())
    with pytest.raises(ModelError, match="failed on this recording"):
        hostile.logits(np.zeros((24, 144), np.float32))


@linux_only
def test_the_narrowest_limit_counts_and_all_are_gone_afterwards() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with bounded_memory(1 << 40):
        wide = resource.getrlimit(resource.RLIMIT_AS)
        assert wide != before
        with bounded_memory(1 << 30), bounded_memory(1 << 35):
            assert resource.getrlimit(resource.RLIMIT_AS)[0] < wide[0] - (1 << 39)
        assert resource.getrlimit(resource.RLIMIT_AS) == wide
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@linux_only
def test_a_header_that_claims_millions_of_samples_cannot_take_gigabytes(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "claims.m4a", np.zeros((22_050, 1), np.float32), 22_050, *CODECS["m4a"]
    )
    data = bytearray(path.read_bytes())
    for box, place, values in (
        (b"stsz", 8, (16, 80_000_000)),  # all samples have 16 bytes, and there are so many
        (b"stsc", 12, (1, 80_000_000, 1)),  # all of them in the first chunk
        (b"stts", 12, (80_000_000, 1024)),
    ):
        at = data.index(box) + place
        data[at : at + 4 * len(values)] = struct.pack(f">{len(values)}I", *values)
    path.write_bytes(data)
    code = (
        "import sys; from pathlib import Path; from chordtool import audio\n"
        "try: audio.load(Path(sys.argv[1]), 22_050)\n"
        "except audio.loading.AudioError as error: print(error)\n"
        "print(peak_bytes() >> 20)"
    )
    said, peak = measured(code, path).stdout.splitlines()
    assert "can be read" in said
    assert int(peak) < 1300


def test_a_model_that_does_not_load_leaves_standard_output_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = tiny_model()
    model.graph.node[0].input[1] = "nowhere"
    with pytest.raises(ModelError, match="cannot be loaded"):
        OnnxModel(model.SerializeToString()).prepare()
    assert capfd.readouterr().out == ""


def test_a_small_file_of_few_samples_a_second_does_not_become_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "slow.wav"
    soundfile.write(path, np.zeros(20_000), 1)
    with pytest.raises(AudioError, match="sample rate of 1 Hz"):
        audio.load(path, 22_050)
