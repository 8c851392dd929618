from __future__ import annotations

import pytest
import torch

from chordtool.models.btc import BTC, LayerNorm


def test_the_parameter_count_is_the_published_one() -> None:
    assert sum(p.numel() for p in BTC().parameters()) == 2_937_514


def test_layer_norm_is_the_published_formula() -> None:
    torch.manual_seed(0)
    norm = LayerNorm(128)
    torch.nn.init.normal_(norm.gamma)
    torch.nn.init.normal_(norm.beta)
    x = 3 * torch.randn(7, 5, 128) + 1
    mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
    torch.testing.assert_close(
        norm(x), norm.gamma * (x - mean) / (std + 1e-6) + norm.beta, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("n_frames", [1, 2, 107, 108, 250])
def test_any_number_of_frames_goes_through(n_frames: int) -> None:
    model = BTC().eval()
    with torch.no_grad():
        logits = model(torch.randn(2, n_frames, 144))
    assert logits.shape == (2, n_frames, 170)
    assert torch.isfinite(logits).all()
