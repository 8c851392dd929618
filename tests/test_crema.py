from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from chordtool import catalogue
from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.models import Model, load_model
from chordtool.models.crema import Crema
from chordtool.vocabulary import class_of
from tests.golden_labels import GOLDEN, majmin_agreement


@pytest.fixture(scope="module")
def files(shared: Path) -> tuple[Path, Path]:
    folder = shared / "teachers" / "crema"
    return folder / "crema-chord.onnx", folder / "crema-chord-vocabulary.json"


@pytest.fixture(scope="module")
def teacher(files: tuple[Path, Path]) -> Model:
    return Crema(*files)


@pytest.mark.parametrize("name", GOLDEN)
def test_agrees_with_the_reference_package(teacher: Model, shared: Path, name: str) -> None:
    assert majmin_agreement(teacher, shared, name) >= 0.98


@pytest.mark.parametrize("n_frames", [1, 2, 60])
def test_is_the_published_network(teacher: Model, files: tuple[Path, Path], n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    features = (-80 * rng.random((n_frames, 216, 2))).astype(np.float32)
    published = ort.InferenceSession(str(files[0]), providers=["CPUExecutionProvider"])
    (expected,) = published.run(["chord_tag"], {"cqt": features[None]})
    found = np.exp(teacher.logits(features))
    for place, label in enumerate(json.loads(files[1].read_text())):
        np.testing.assert_allclose(found[:, class_of(label)], expected[0, :, place], atol=1e-5)


def test_probabilities_sum_to_one(teacher: Model) -> None:
    features = np.full((7, 216, 2), -40, np.float32)
    np.testing.assert_allclose(np.exp(teacher.logits(features)).sum(axis=1), 1, rtol=1e-5)


def test_no_frames_give_no_logits(teacher: Model) -> None:
    assert teacher.logits(np.zeros((0, 216, 2), np.float32)).shape == (0, 170)


def test_it_can_be_handed_to_another_process(teacher: Model) -> None:
    features = np.full((7, 216, 2), -40, np.float32)
    received: Model = pickle.loads(pickle.dumps(teacher))
    np.testing.assert_array_equal(received.logits(features), teacher.logits(features))


def test_its_card_says_what_it_is(teacher: Model) -> None:
    card = teacher.card
    assert (card.front_end.kind, card.front_end.hop_length) == ("harmonic-cqt-db", 4096)
    assert card.front_end.sample_rate == 44_100
    assert card.segment_frames is None
    assert card.licence == "BSD-2-Clause"


@pytest.mark.parametrize("content", ["", "[]", '["C:maj"]', "{", '["no chord"]'])
def test_a_foreign_vocabulary_is_refused(
    files: tuple[Path, Path], tmp_path: Path, content: str
) -> None:
    vocabulary = tmp_path / "vocabulary.json"
    vocabulary.write_text(content)
    with pytest.raises(ModelError, match="crema"):
        Crema(files[0], vocabulary)


def test_a_foreign_network_is_refused(files: tuple[Path, Path], shared: Path) -> None:
    with pytest.raises(ModelError, match="crema"):
        Crema(shared / "teachers" / "lv" / "fold0.onnx", files[1])
    with pytest.raises(ModelError, match="crema"):
        Crema(files[1], files[1])


def test_damaged_and_absent_weights_are_not_available(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "folders", lambda: (tmp_path,))
    with pytest.raises(ModelUnavailableError, match="not on this machine"):
        load_model("crema")
    (tmp_path / "crema").mkdir()
    for file in files:
        shutil.copy(file, tmp_path / "crema")
    network = tmp_path / "crema" / files[0].name
    network.chmod(0o644)
    damaged = bytearray(network.read_bytes())
    damaged[1000] ^= 1
    network.write_bytes(damaged)
    with pytest.raises(ModelUnavailableError, match="checksum"):
        load_model("crema")
