from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chordtool.models import kernels


def _gradients(
    function: Callable[..., Tensor], *inputs: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    output = function(*inputs)
    torch.manual_seed(5)
    return output.detach(), torch.autograd.grad(
        output, inputs, torch.randn(output.shape, dtype=output.dtype)
    )


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_the_mask_drops_as_often_as_asked_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    mask = kernels.keep_mask(torch.Size((1000, 333)), p)
    kept = mask > 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.004)
    assert mask[kept].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)
    # Neighbours are independent: pairs are both kept as often as chance has it.
    both = (kept[:, 1:] & kept[:, :-1]).float().mean().item()
    assert both == pytest.approx((1 - p) ** 2, abs=0.006)


def test_the_mask_follows_the_state_of_torchs_generator() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first, second = (kernels.keep_mask(torch.Size((50,)), 0.5) for _ in range(2))
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(kernels.keep_mask(torch.Size((50,)), 0.5), first)


def test_dropout_is_off_outside_of_training() -> None:
    x = torch.randn(4, 5)
    assert kernels.dropout(x, 0.5, False) is x
    assert kernels.dropout(x, 0.0, True) is x


@pytest.mark.parametrize("direction", ["past", "future"])
def test_attention_and_its_gradients_are_those_of_the_formula(
    direction: kernels.Sees, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    visible = torch.ones(7, 7, dtype=torch.bool).tril()
    visible = visible if direction == "past" else visible.T
    mask = kernels.keep_mask(torch.Size((6, 7, 7)), 0.3, torch.float64)
    monkeypatch.setattr(kernels, "keep_mask", lambda *args: mask)

    def formula(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        scores = queries @ keys.transpose(-1, -2) / 4**0.5
        weights = torch.softmax(scores.masked_fill(~visible, -torch.inf), dim=-1)
        return (weights * mask.view(2, 3, 7, 7)) @ values

    inputs = [torch.randn(2, 3, 7, 4, dtype=torch.float64) for _ in range(3)]
    ours = _gradients(lambda q, k, v: kernels.attention(q, k, v, direction, 0.3), *inputs)
    torch.testing.assert_close(ours, _gradients(formula, *inputs))


def test_attention_without_a_mask_is_torchs_for_contexts_of_another_length() -> None:
    torch.manual_seed(0)
    queries = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    keys, values = (torch.randn(2, 3, 7, 4, dtype=torch.float64) for _ in range(2))
    ours = _gradients(kernels.attention, queries, keys, values)
    torchs = _gradients(F.scaled_dot_product_attention, queries, keys, values)
    torch.testing.assert_close(ours, torchs)


@pytest.mark.parametrize(("sees", "n"), [("past", 7), ("future", 7), ("all", 7), ("all", 2)])
def test_on_other_devices_attention_is_the_same(
    sees: kernels.Sees, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, n, 4, dtype=torch.float64) for _ in range(3)]
    ours = _gradients(lambda q, k, v: kernels.attention(q, k, v, sees), *inputs)
    monkeypatch.setattr(kernels, "_is_fast", lambda x: False)
    theirs = _gradients(lambda q, k, v: kernels.attention(q, k, v, sees), *inputs)
    torch.testing.assert_close(ours, theirs)


def test_on_other_devices_attention_drops_weights_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_is_fast", lambda x: False)
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 2000, 3, 2, 4)
    values = torch.ones(2000, 3, 2, 4)
    kept = kernels.attention(queries, keys, values, "all", 0.25)
    assert kept.mean() == pytest.approx(1.0, abs=0.02)
    assert (kept == 0).double().mean() == pytest.approx(0.25**2, abs=0.01)


def test_under_autocast_the_kernels_answer_in_its_type_and_teach_nearly_the_same() -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(2, 7, 8), 0.2 * torch.randn(8, 8, 3), torch.randn(8)

    def block(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        torch.manual_seed(1)  # The same elements are dropped in both types.
        y = kernels.convolve_relu_dropout(x, weight, bias, 0.25)
        heads = y.view(2, 7, 2, 4).transpose(1, 2)
        return kernels.attention(heads, heads, heads, "past", 0.3)

    def in_bfloat16(*inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            answer = block(*inputs)
        assert answer.dtype == torch.bfloat16
        return answer.float()

    exact = _gradients(block, x, weight, bias)
    ours = _gradients(in_bfloat16, x, weight, bias)
    for wanted, got in zip((exact[0], *exact[1]), (ours[0], *ours[1]), strict=True):
        assert got.dtype == torch.float32
        assert (got - wanted).norm() < 0.05 * wanted.norm()


@pytest.mark.parametrize("n_frames", [1, 2, 9])
def test_convolution_and_its_gradients_are_torchs(
    n_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    mask = kernels.keep_mask(torch.Size((2, n_frames, 6)), 0.25, torch.float64)
    monkeypatch.setattr(kernels, "keep_mask", lambda *args: mask)
    x = torch.randn(2, n_frames, 4, dtype=torch.float64)
    weight = torch.randn(6, 4, 3, dtype=torch.float64)
    bias = torch.randn(6, dtype=torch.float64)

    def formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        convolved = F.conv1d(x.transpose(1, 2), weight, bias, padding=1).transpose(1, 2)
        return F.relu(convolved) * mask

    ours = _gradients(lambda *a: kernels.convolve_relu_dropout(*a, 0.25), x, weight, bias)
    torch.testing.assert_close(ours, _gradients(formula, x, weight, bias))
    torch.testing.assert_close(
        kernels.convolve_relu_dropout(x, weight, bias, 0.0),
        F.relu(F.conv1d(x.transpose(1, 2), weight, bias, padding=1)).transpose(1, 2),
    )


def _feed_forward_layers(dtype: torch.dtype) -> tuple[nn.Linear, nn.LayerNorm, nn.Linear]:
    layers = (
        nn.Linear(6, 24, dtype=dtype),
        nn.LayerNorm(24, dtype=dtype),
        nn.Linear(24, 6, dtype=dtype),
    )
    nn.init.normal_(layers[1].weight)
    nn.init.normal_(layers[1].bias)
    return layers


@pytest.mark.parametrize("p", [0.0, 0.3])
def test_feed_forward_and_its_gradients_are_those_of_its_layers(
    p: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    mask = kernels.keep_mask(torch.Size((15, 24)), p, torch.float64)
    monkeypatch.setattr(kernels, "keep_mask", lambda *args: mask)
    widen, norm, narrow = _feed_forward_layers(torch.float64)
    parameters = [q for layer in (widen, norm, narrow) for q in layer.parameters()]
    x = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    ours = kernels.feed_forward(x, widen, norm, narrow, p)
    plain = narrow(F.relu(norm(widen(x))) * mask.view(3, 5, 24))
    torch.testing.assert_close(ours, plain)
    weights = torch.randn_like(plain)
    torch.testing.assert_close(
        torch.autograd.grad(ours, [x, *parameters], weights),
        torch.autograd.grad(plain, [x, *parameters], weights),
    )


def test_feed_forward_under_autocast_teaches_nearly_the_same() -> None:
    torch.manual_seed(0)
    widen, norm, narrow = _feed_forward_layers(torch.float32)
    parameters = [q for layer in (widen, norm, narrow) for q in layer.parameters()]
    x = torch.randn(40, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours = kernels.feed_forward(x, widen, norm, narrow, 0.0)
    assert ours.dtype == torch.bfloat16
    plain = narrow(F.relu(norm(widen(x))))
    torch.testing.assert_close(ours.float(), plain, atol=0.05, rtol=0.05)
    weights = torch.randn_like(plain)
    got = torch.autograd.grad(ours, [x, *parameters], weights.bfloat16())
    for mine, theirs in zip(
        got, torch.autograd.grad(plain, [x, *parameters], weights), strict=True
    ):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() < 0.03 * theirs.norm()
