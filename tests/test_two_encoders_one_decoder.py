from __future__ import annotations

import pytest
import torch

from chordtool.models.two_encoders_one_decoder import TwoEncodersOneDecoder, positional_encoding


def test_the_parameter_count_is_the_published_one() -> None:
    assert sum(p.numel() for p in TwoEncodersOneDecoder().parameters()) == 2_290_441


@pytest.mark.parametrize("n_frames", [1, 107, 108, 250])
def test_any_number_of_frames_goes_through(n_frames: int) -> None:
    model = TwoEncodersOneDecoder().eval()
    with torch.no_grad():
        logits = model(torch.randn(2, n_frames, 144))
    assert logits.shape == (2, n_frames, 170)
    assert torch.isfinite(logits).all()


def test_rezero_starts_as_a_network_without_attention() -> None:
    torch.manual_seed(0)
    model = TwoEncodersOneDecoder().eval()
    x = torch.randn(1, 20, 144)
    changed = x.clone()
    changed[:, :10] = 0
    with torch.no_grad():
        before, after = model(x), model(changed)
    torch.testing.assert_close(before[:, 10:], after[:, 10:])
    assert not torch.allclose(before[:, :10], after[:, :10])


def test_every_trained_parameter_gets_a_gradient() -> None:
    torch.manual_seed(0)
    model = TwoEncodersOneDecoder()
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.constant_(parameter, 0.5)
    model(torch.randn(2, 9, 144)).square().mean().backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            # A bias on the keys moves all attention logits of a query alike.
            assert parameter.grad.abs().sum() > 0, name


def test_positions_alternate_sines_and_cosines() -> None:
    table = positional_encoding(3, 4).double()
    rates = torch.tensor([1.0, 1e-2, 1e-4, 1e-6], dtype=torch.float64)
    expected = torch.stack(
        [
            torch.stack(
                [(p * r).sin() if i % 2 == 0 else (p * r).cos() for i, r in enumerate(rates)]
            )
            for p in range(3)
        ]
    )
    torch.testing.assert_close(table, expected, atol=1e-6, rtol=1e-5)
