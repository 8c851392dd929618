from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from chordtool.errors import ModelError
from chordtool.models.lv_network import N_INPUTS, N_OUTPUTS, LvNetwork

HEADS = ("triad", "bass", "seventh", "ninth", "eleventh", "thirteenth")


@pytest.fixture(scope="module")
def fold(shared: Path) -> Path:
    return shared / "teachers" / "lv" / "fold3.onnx"


def magnitudes(n_frames: int) -> np.ndarray:
    """Spectra of the kind that music has: few large values, most near nothing."""
    raw = np.random.default_rng(n_frames).standard_normal((n_frames, 288))
    return np.exp(1.5 * raw - 3).astype(np.float32)


@pytest.mark.parametrize("n_frames", [1, 2, 127, 128, 129, 300])
def test_is_the_published_network(fold: Path, n_frames: int) -> None:
    inputs = magnitudes(n_frames)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    published = ort.InferenceSession(str(fold), options, providers=["CPUExecutionProvider"])
    logits = LvNetwork(fold).run(inputs[:, 18 : 18 + N_INPUTS])
    assert logits.shape == (n_frames, N_OUTPUTS)
    first = 0
    for expected in published.run(list(HEADS), {"cqt": inputs}):
        head = logits[:, first : first + expected.shape[1]]
        first += expected.shape[1]
        odds = np.exp(head - head.max(axis=1, keepdims=True))
        # A lone frame has hardly any variance to be normalised by, which magnifies rounding.
        np.testing.assert_allclose(
            odds / odds.sum(axis=1, keepdims=True), expected, atol=1e-3 if n_frames < 3 else 2e-4
        )
    assert first == N_OUTPUTS


def test_large_inputs_stay_finite(fold: Path) -> None:
    inputs = magnitudes(200)[:, :N_INPUTS]
    inputs[100] *= 1e6
    assert np.isfinite(LvNetwork(fold).run(inputs)).all()


def test_a_fold_can_be_handed_to_another_process(fold: Path) -> None:
    network = LvNetwork(fold)
    received: LvNetwork = pickle.loads(pickle.dumps(network))
    inputs = magnitudes(20)[:, :N_INPUTS]
    np.testing.assert_array_equal(received.run(inputs), network.run(inputs))


def test_silence_stays_finite(fold: Path) -> None:
    assert np.isfinite(LvNetwork(fold).run(np.zeros((10, N_INPUTS), np.float32))).all()


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x08" * 100])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "fold0.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="lv"):
        LvNetwork(path)
