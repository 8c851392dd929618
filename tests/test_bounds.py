"""A network of unknown origin cannot take the machine."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from onnx import helper, numpy_helper

from chordtool import audio
from chordtool.errors import AudioError, ModelError
from chordtool.models.bounds import bounded_memory
from chordtool.models.onnx import OnnxModel
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
def test_the_limit_is_gone_afterwards_however_often_it_was_entered() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with bounded_memory(), bounded_memory():
        assert resource.getrlimit(resource.RLIMIT_AS) != before
    assert resource.getrlimit(resource.RLIMIT_AS) == before


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
