from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chordtool.errors import ChordtoolError, ModelError, ModelUnavailableError
from chordtool.frontend import FrontEnd
from chordtool.models import default, load_model
from chordtool.models import onnx as onnx_module
from chordtool.models.card import ModelCard
from chordtool.models.onnx import OnnxModel
from chordtool.models.runtime import onnxruntime
from chordtool.models.windows import Windows
from chordtool.testing import check_model
from tests.tiny_student import stamp, tiny_card, tiny_model, tiny_student

FEATURES = np.random.default_rng(0).normal(-7, 3, (60, 144)).astype(np.float32)


def test_an_exported_student_keeps_the_contract_of_models() -> None:
    check_model(OnnxModel(tiny_student()))


def test_the_card_normalises_and_the_graph_answers() -> None:
    data = tiny_student()
    weights, bias = (
        numpy_helper.to_array(t) for t in onnx.load_from_string(data).graph.initializer
    )
    wanted = (FEATURES + 7) / 3 @ weights + bias
    np.testing.assert_allclose(OnnxModel(data).logits(FEATURES), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("vote", ["centre", "logits"])
def test_windows_of_the_card_change_nothing_where_frames_stand_alone(vote: str) -> None:
    plain = OnnxModel(tiny_student()).logits(FEATURES)
    voted = OnnxModel(tiny_student(tiny_card(windows=Windows(6, vote)))).logits(FEATURES)
    np.testing.assert_allclose(voted, plain, rtol=1e-5, atol=1e-5)


def test_the_number_of_threads_changes_nothing() -> None:
    answers = [OnnxModel(tiny_student(), threads=n).logits(FEATURES) for n in (1, 2, 3)]
    assert all(np.array_equal(answers[0], answer) for answer in answers[1:])


@pytest.mark.parametrize("kept", ["as a file", "in memory"])
def test_a_model_can_be_handed_to_other_processes_before_it_is_used_and_after(
    kept: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.onnx").write_bytes(tiny_student())
    path = tmp_path / "mine.onnx" if kept == "as a file" else None
    model = OnnxModel(tiny_student(), path=path)
    before = pickle.dumps(model)
    wanted = model.logits(FEATURES)
    for handed in (before, pickle.dumps(model)):
        received: OnnxModel = pickle.loads(handed)
        assert received.card == model.card
        np.testing.assert_array_equal(received.logits(FEATURES), wanted)


def test_a_session_that_another_thread_makes_meanwhile_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = OnnxModel(tiny_student())
    usual = onnxruntime.SessionOptions

    def late() -> onnxruntime.SessionOptions:
        monkeypatch.undo()
        other = threading.Thread(target=model.prepare)
        other.start()
        other.join()
        return usual()

    monkeypatch.setattr(onnxruntime, "SessionOptions", late)
    model.prepare()
    assert len(model.logits(FEATURES)) == len(FEATURES)


@pytest.mark.skipif(os.name != "posix", reason="no such files")
def test_a_device_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "endless.onnx").symlink_to("/dev/zero")
    with pytest.raises(ModelUnavailableError, match="no file"):
        OnnxModel.from_file(tmp_path / "endless.onnx")


def test_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(tiny_student())
    assert load_model(str(tmp_path / "mine.onnx")).card == tiny_card()
    for missing in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(ChordtoolError) as caught:
            OnnxModel.from_file(missing)
        assert caught.value.hint


def test_an_installation_without_the_packaged_model_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(default, "PATH", tmp_path / "nothing.onnx")
    with pytest.raises(ModelUnavailableError) as caught:
        default.load()
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_damaged_packaged_model_is_an_error_with_a_hint(
    content: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "broken.onnx").write_bytes(content)
    monkeypatch.setattr(default, "PATH", tmp_path / "broken.onnx")
    with pytest.raises(ChordtoolError) as caught:
        default.load()
    assert caught.value.hint


@pytest.mark.parametrize("name", [b"plain.onnx", "Mod\u00e8le.onnx".encode(), b"\xff.onnx"])
def test_the_packaged_model_works_wherever_it_is(
    name: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(tiny_student())
    monkeypatch.setattr(default, "PATH", path)
    wanted = OnnxModel(tiny_student()).logits(FEATURES)
    np.testing.assert_array_equal(default.load().logits(FEATURES), wanted)


def test_the_card_is_read_without_onnx_runtime(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").write_bytes(tiny_student())
    script = (
        "import sys; from chordtool.models import load_model;"
        f"assert load_model({str(tmp_path / 'mine.onnx')!r}).card.name == 'tiny';"
        "assert not {'onnxruntime', 'onnx', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def _domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.evil"


def _operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "RandomNormal"


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../../etc/passwd"
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")


def _external_in_attribute(model: onnx.ModelProto) -> None:
    tensor = TensorProto(name="x", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def _branch(model: onnx.ModelProto) -> None:
    graph = helper.make_graph([], "g", [], [])
    model.graph.node.append(
        helper.make_node("If", ["features"], ["c"], then_branch=graph, else_branch=graph)
    )


def _function(model: onnx.ModelProto) -> None:
    function = helper.make_function("com.microsoft", "F", [], ["y"], [], [])
    model.functions.append(function)


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


def _huge(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 39, 1 << 20]


def _short(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].raw_data = b"0"


def _bins(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 100


def _classes(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 25


def _rank(model: onnx.ModelProto) -> None:
    del model.graph.input[0].type.tensor_type.shape.dim[0]


def _name(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "x"


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 3]))


def _no_card(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def _broken_card(model: onnx.ModelProto) -> None:
    model.metadata_props[0].value = "{"


def _other_front_end(model: onnx.ModelProto) -> None:
    card = tiny_card().to_json().replace('"kind":"cqt"', '"kind":"hybrid-cqt"')
    del model.metadata_props[:]
    stamp(model, card)


@pytest.mark.parametrize(
    "spoil",
    [
        _domain, _operator, _external, _external_in_attribute, _branch, _function, _sparse, _huge,
        _short, _bins, _classes, _rank, _name, _second_input, _no_card, _broken_card,
        _other_front_end,
    ],
)  # fmt: skip
def test_what_no_student_needs_is_refused_before_onnx_runtime_sees_it(
    spoil: Callable[[onnx.ModelProto], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model()
    spoil(model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError):
        OnnxModel(model.SerializeToString())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 0.999])
def test_a_file_that_is_cut_off_is_refused(share: float) -> None:
    data = tiny_student()
    with pytest.raises(ModelError):
        OnnxModel(data[: int(share * len(data))]).logits(FEATURES)


def test_answers_that_are_not_finite_are_an_error() -> None:
    model = tiny_model()
    bias = model.graph.initializer[1]
    bias.raw_data = np.full(170, np.inf, np.float32).tobytes()
    with pytest.raises(ModelError):
        OnnxModel(model.SerializeToString()).logits(FEATURES)


def _constant_chain(length: int, side: int) -> bytes:
    """A network that multiplies a large constant with itself before it looks at its input."""
    model = tiny_model()
    large = np.full((side, side), 1e-3, np.float32)
    model.graph.initializer.append(numpy_helper.from_array(large, "w"))
    nodes = [helper.make_node("MatMul", ["w" if k == 0 else f"m{k}", "w"], [f"m{k + 1}"])
             for k in range(length)]  # fmt: skip
    nodes.append(helper.make_node("ReduceSum", [f"m{length}"], ["sum"], keepdims=0))
    nodes.append(helper.make_node("Add", ["product", "sum"], ["moved"]))
    first, last = model.graph.node
    last.input[0] = "moved"
    del model.graph.node[:]
    model.graph.node.extend([first, *nodes, last])
    return model.SerializeToString()


def test_constants_are_not_computed_while_a_file_is_loaded() -> None:
    # 60 products of 1,000 x 1,000 are 120 GFLOP: seconds, if anybody computes them.
    model = OnnxModel(_constant_chain(60, 1000))
    started = time.process_time()
    model.prepare()
    assert time.process_time() - started < 1.0


def test_a_network_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_module, "SECONDS_PER_BATCH", 0.2)
    model = OnnxModel(_constant_chain(60, 1000))
    model.prepare()
    with pytest.raises(ModelError, match="terminate"):
        model.logits(FEATURES)


def test_no_watchdog_outlives_its_batch() -> None:
    """One that did, for a moment, crashed an interpreter that was interrupted in that moment."""
    model = OnnxModel(tiny_student())
    features = np.zeros((20, model.card.front_end.n_bins), np.float32)
    before = set(threading.enumerate())
    for _ in range(50):
        model.logits(features)
        assert set(threading.enumerate()) <= before


def test_a_failure_that_says_nothing_is_named_by_its_kind() -> None:
    assert onnx_module._failed("cannot be loaded", ValueError("\n")).message.endswith("ValueError")


@pytest.mark.parametrize("field", ["name", "architecture", "front_end"])
def test_a_card_without_a_field_that_it_needs_says_which(field: str) -> None:
    document = json.loads(tiny_card().to_json())
    del document[field]
    with pytest.raises(ModelError) as caught:
        ModelCard.from_json(json.dumps(document))
    assert caught.value.message == f"The model's card cannot be read: its {field} is missing."


@pytest.mark.parametrize("score", ["0.9", None, True, [0.9], pytest.param(10**400, id="huge")])
def test_a_card_whose_scores_are_no_numbers_is_refused(score: object) -> None:
    document = json.loads(tiny_card().to_json())
    document["metrics"] = {"validation": score}
    with pytest.raises(ModelError, match="metrics"):
        ModelCard.from_json(json.dumps(document))


def test_a_card_that_is_too_deep_to_be_copied_is_refused() -> None:
    card = tiny_card(training={"parent": "deep"}).to_json()
    deep = card.replace('"deep"', "[" * 150 + "]" * 150)
    with pytest.raises(ModelError, match="training has more than 100 levels"):
        ModelCard.from_json(deep)
    assert ModelCard.from_json(card.replace('"deep"', "[" * 90 + "]" * 90))


@pytest.mark.parametrize(("frames", "most"), [(108, 40), (8, 3), (None, 40)])
def test_a_card_whose_windows_overlap_beyond_all_need_is_refused(
    frames: int | None, most: int
) -> None:
    def card(context: int) -> str:
        return tiny_card(segment_frames=frames, windows=Windows(context)).to_json()

    assert ModelCard.from_json(card(most)).windows == Windows(most)
    with pytest.raises(ModelError, match="more than 4 windows"):
        ModelCard.from_json(card(most + 1))


def test_a_card_that_is_refused_without_a_word_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(document: object) -> FrontEnd:
        raise ValueError

    monkeypatch.setattr(FrontEnd, "from_dict", refuse)
    with pytest.raises(ModelError, match="cannot be read: ValueError"):
        ModelCard.from_json(tiny_card().to_json())
