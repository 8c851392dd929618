"""What a student starts from: a run, a checkpoint, an exported file, a model's name."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from chordtool.errors import ChordtoolError, ModelError
from chordtool.export import export
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.training.starting import starting_weights
from tests.training.made import CARD, make_student


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"))


def test_an_exported_student_gives_its_weights_back(student: Path) -> None:
    for name in (student, student / "best.safetensors", student / "student.onnx"):
        card, weights = starting_weights(str(name))
        assert card == CARD
        _, expected = checkpoint.load_checkpoint(student)
        assert weights.keys() == expected.keys()
        for key, tensor in weights.items():
            assert torch.allclose(tensor, expected[key], atol=1e-7), key


def test_the_other_architecture_comes_back_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = build("2e1d", n_bins=144, n_classes=170)
    card = ModelCard("x", "2e1d", FrontEnd())
    export(module, card, tmp_path / "x.onnx")
    found, weights = starting_weights(str(tmp_path / "x.onnx"))
    other = build("2e1d", n_bins=144, n_classes=170)
    checkpoint.load_weights(other, found, weights)
    x = torch.randn(1, 20, 144)
    assert torch.allclose(module.eval()(x), other.eval()(x), atol=1e-6)


def test_the_packaged_student_can_be_trained_on() -> None:
    card, weights = starting_weights("default")
    module = build(card.architecture, n_bins=card.front_end.n_bins, n_classes=170)
    checkpoint.load_weights(module, card, weights)


@pytest.mark.parametrize("name", ["nobody", "lv", "/nowhere/x.onnx", "/nowhere/x.pt"])
def test_an_unknown_student_is_one_sentence(name: str) -> None:
    with pytest.raises(ChordtoolError) as caught:
        starting_weights(name)
    assert caught.value.hint


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".onnx"])
def test_a_hostile_student_is_refused_and_does_nothing(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"student{suffix}"
    if suffix == ".pt":
        torch.save({"model": Exploit(tmp_path / "owned"), "mean": 0.0, "std": 1.0}, file)
    else:
        file.write_bytes(pickle.dumps(Exploit(tmp_path / "owned")))
    with pytest.raises(ModelError) as caught:
        starting_weights(str(file))
    assert caught.value.hint
    assert not (tmp_path / "owned").exists()


def test_a_truncated_student_is_one_sentence(student: Path, tmp_path: Path) -> None:
    for name in ("student.onnx", "best.safetensors"):
        data = (student / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(ModelError):
            starting_weights(str(tmp_path / name))


def test_what_is_wrong_with_a_file_of_one_s_own_is_not_mended_by_a_download(tmp_path: Path) -> None:
    for name in ("mine.pt", "mine.pth"):
        (tmp_path / name).write_bytes(pickle.dumps({"model": 1}))
        with pytest.raises(ModelError) as caught:
            starting_weights(str(tmp_path / name))
        assert "download" not in caught.value.hint


def test_an_exported_model_is_no_checkpoint(student: Path) -> None:
    with pytest.raises(ModelError, match="is an exported model"):
        checkpoint.load_checkpoint(student / "student.onnx")


def test_students_that_cannot_be_trained_are_one_sentence(tmp_path: Path) -> None:
    module = build("btc", n_bins=144, n_classes=170)
    for card in (
        ModelCard("a", "somebody-else-s", FrontEnd()),
        ModelCard("a", "btc", FrontEnd(), vocabulary="majmin"),
    ):
        file = tmp_path / "s.safetensors"
        checkpoint.save_checkpoint(file, module.state_dict(), card)
        with pytest.raises(ModelError):
            starting_weights(str(file))
