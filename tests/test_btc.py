from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from chordtool import audio, catalogue
from chordtool.decoding import decode
from chordtool.errors import ModelError, ModelUnavailableError
from chordtool.models.btc import BTC, BtcModel, LayerNorm, load, timing_signal
from chordtool.testing import check_model
from chordtool.vocabulary import LARGE


def test_the_parameter_count_is_the_published_one() -> None:
    assert sum(p.numel() for p in BTC().parameters()) == 2_937_514


def test_layer_norm_is_the_published_formula() -> None:
    torch.manual_seed(0)
    norm = LayerNorm(128)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    for scale in (3.0, 0.2):
        x = scale * torch.randn(7, 5, 128) + 1
        mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
        expected = norm.gamma * (x - mean) / (std + 1e-6) + norm.beta
        torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=2e-5)


def published_signal(positions: NDArray[Any]) -> NDArray[Any]:
    rates = 10_000.0 ** (-np.arange(64) / 63)
    angles = positions[:, None] * rates
    return np.concatenate((np.sin(angles), np.cos(angles)), axis=1)


@pytest.mark.parametrize("n_frames", [1, 2, 60, 107, 108])
def test_up_to_108_frames_the_signal_is_the_published_one(n_frames: int) -> None:
    expected = published_signal(np.arange(n_frames))
    np.testing.assert_allclose(timing_signal(n_frames, 128).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("n_frames", [109, 162, 216, 5000])
def test_more_frames_share_the_positions_of_108(n_frames: int) -> None:
    expected = published_signal(np.linspace(0, 107, n_frames))
    np.testing.assert_allclose(timing_signal(n_frames, 128).numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("n_frames", [1, 2, 107, 108, 250])
def test_any_number_of_frames_goes_through(n_frames: int) -> None:
    model = BTC().eval()
    with torch.no_grad():
        logits = model(torch.randn(2, n_frames, 144))
    assert logits.shape == (2, n_frames, 170)
    assert torch.isfinite(logits).all()


def test_one_block_sees_the_past_alone_and_the_other_the_future() -> None:
    torch.manual_seed(0)
    layer = BTC().eval().self_attn_layers.self_attn_layers[0]
    x = torch.randn(1, 30, 128)
    changed = x.clone()
    changed[:, 15] = torch.randn(128)
    with torch.no_grad():
        for block, sees, unmoved in (
            (layer.attn_block, "past", slice(0, 13)),
            (layer.backward_attn_block, "future", slice(18, 30)),
        ):
            moved = (block(x, sees) - block(changed, sees)).abs().amax(dim=(0, 2))
            # Two convolutions of three frames carry it two frames further.
            assert moved[unmoved].max() < 1e-6
            assert (moved > 1e-6).sum() == 30 - (unmoved.stop - unmoved.start)


def test_without_dropout_training_computes_what_evaluation_does() -> None:
    torch.manual_seed(0)
    model = BTC(dropout=0.0)
    x = torch.randn(2, 20, 144)
    torch.testing.assert_close(model.train()(x), model.eval()(x))


def test_every_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = BTC().train()
    model(torch.randn(2, 20, 144)).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_training_is_repeatable_from_the_state_of_torchs_generator() -> None:
    torch.manual_seed(0)
    model = BTC().train()
    x = torch.randn(2, 20, 144)
    state = torch.get_rng_state()
    first = model(x)
    assert not torch.equal(model(x), first)
    torch.set_rng_state(state)
    assert torch.equal(model(x), first)


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    return shared / "teachers" / "btc-golden"


@pytest.fixture(scope="module")
def model(golden: Path) -> BtcModel:
    return BtcModel.from_checkpoint(golden / "btc_random.pt")


@pytest.fixture(scope="module")
def expected(golden: Path) -> dict[str, NDArray[Any]]:
    return dict(np.load(golden / "btc_random_expected.npz"))


def test_logits_are_those_of_the_reference(
    model: BtcModel, expected: dict[str, NDArray[Any]]
) -> None:
    logits = model.logits(expected["log_cqt"])
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-3, rtol=0)


def test_features_are_those_of_the_reference(
    model: BtcModel, golden: Path, expected: dict[str, NDArray[Any]]
) -> None:
    recording = audio.load(golden / "clip.flac", 22_050)
    features = model.features(recording.samples)
    assert features.shape == expected["log_cqt"].shape
    wanted = np.exp(expected["log_cqt"])
    error = np.abs(np.exp(features) - wanted) / wanted
    assert np.median(error) < 5e-4
    assert np.quantile(error, 0.99) < 1e-2


def test_labels_are_those_of_the_reference_end_to_end(
    model: BtcModel, golden: Path, expected: dict[str, NDArray[Any]]
) -> None:
    recording = audio.load(golden / "clip.flac", 22_050)
    logits = model.logits(model.features(recording.samples))
    same = logits.argmax(axis=1) == expected["logits"].argmax(axis=1)
    assert same.mean() >= 0.98
    front_end = model.card.front_end
    assert front_end.frame_seconds == pytest.approx(float(expected["frame_seconds"]))
    edges = front_end.frame_edges(len(logits), recording.seconds)
    segments = decode(logits, edges, LARGE, model.card.decoding)
    assert segments[-1].end == pytest.approx(float(expected["seconds"]), abs=1e-3)
    changes = np.flatnonzero(np.diff(logits.argmax(axis=1))) + 1
    np.testing.assert_allclose([s.start for s in segments[1:]], changes * 10 / 108, atol=1e-9)


def test_it_keeps_the_contract_of_models(model: BtcModel) -> None:
    check_model(model, seconds=11.0)


def test_a_checkpoint_of_25_classes_answers_in_the_small_vocabulary(tmp_path: Path) -> None:
    network = BTC(n_classes=25)
    torch.save(
        {"model": network.state_dict(), "mean": np.float64(-2), "std": np.float64(2)},
        tmp_path / "small.pt",
    )
    model = BtcModel.from_checkpoint(tmp_path / "small.pt")
    assert model.card.vocabulary == "majmin"
    assert model.logits(np.zeros((5, 144), np.float32)).shape == (5, 25)


@pytest.mark.parametrize("wrong", ["name", "shape", "classes", "type", "nan", "view"])
def test_a_state_dict_of_something_else_is_refused(wrong: str, tmp_path: Path) -> None:
    weights = BTC().state_dict()
    name = "self_attn_layers.embedding_proj.weight"
    if wrong == "name":
        weights["other"] = weights.pop(name)
    elif wrong == "shape":
        weights[name] = torch.zeros(144, 128)
    elif wrong == "classes":
        weights["output_layer.output_projection.bias"] = torch.zeros(12)
    elif wrong == "type":
        weights[name] = weights[name].double()
    elif wrong == "nan":
        weights[name] = torch.full((128, 144), float("nan"))
    else:
        # A shape that no memory holds, from a single number.
        weights[name] = torch.zeros(1).expand(1 << 20, 1 << 30)
    torch.save({"model": weights, "mean": 0.0, "std": 1.0}, tmp_path / "wrong.pt")
    with pytest.raises(ModelError, match="does not hold BTC"):
        BtcModel.from_checkpoint(tmp_path / "wrong.pt")


def test_without_the_checkpoint_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", str(tmp_path))
    monkeypatch.setattr(catalogue, "cache_folder", lambda: tmp_path)
    with pytest.raises(ModelUnavailableError) as caught:
        load()
    assert caught.value.hint == "Run: chordtool models download btc"
