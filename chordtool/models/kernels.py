"""The inner loops of training on a CPU: dropout, attention, convolution over time, feed-forward.

Each does what a few torch operations do, with the same gradients, in less time. What they gain
(benchmarks/train): torch draws a random float for every element that dropout looks at, here 16
random bits decide; the gradient of a convolution's weight is one matrix product instead of
oneDNN's general path; attention with dropout works in place where autograd would keep copies.
On other devices, and while torch.compile traces, torch's own operations are used.

Under ``torch.autocast`` matrix products and convolutions are taken in its type, here as in torch;
softmax and what is added up stay in float32.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Sees: TypeAlias = Literal["all", "past", "future"]
_FEW: Final = 16
"""Pairs of positions up to which attention is not worth a fused kernel."""


def _is_fast(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def _cast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in the type of matrix products: autocast's, where it is on."""
    if not torch.is_autocast_enabled("cpu"):
        return tensors
    wanted = torch.get_autocast_dtype("cpu")
    return tuple(x.to(wanted) for x in tensors)


def _widened(x: Tensor) -> Tensor:
    """In float32, if it was narrower."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _threshold(p: float) -> int:
    return round(p * 65_536)


def keep_mask(shape: torch.Size, p: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """A dropout mask for the CPU: 0 with probability ``p``, else what keeps the mean.

    ``p`` is rounded to a multiple of 2^-16. The bits come from SFC64, seeded by torch's default
    generator, so that ``torch.manual_seed`` and a restored generator state repeat them.
    """
    threshold = _threshold(p)
    n = math.prod(shape)
    seed = int(torch.empty((), dtype=torch.int64).random_())
    words = np.random.Generator(np.random.SFC64(seed)).integers(
        0, 2**64, size=-(-n // 4), dtype=np.uint64
    )
    bits = torch.from_numpy(words.view(np.int16)[:n]).view(shape)
    mask = torch.empty(shape, dtype=dtype)
    torch.ge(bits, threshold - 32_768, out=mask)
    return mask.mul_(1.0 / (1.0 - threshold / 65_536))


def dropout(x: Tensor, p: float, training: bool, *, inplace: bool = False) -> Tensor:
    """What :func:`torch.nn.functional.dropout` does.

    Args:
        x: any shape.
        p: probability, 0 <= p < 1.
        training: without it, ``x`` comes back.
        inplace: ``x`` may be overwritten; it must not be a view, nor needed by a backward pass.
    """
    if not training or p == 0.0:
        return x
    if not _is_fast(x):
        return F.dropout(x, p)  # In place it would take torch three kernels instead of one.
    mask = keep_mask(x.shape, p, x.dtype)
    return x.mul_(mask) if inplace else x * mask


class Dropout(nn.Module):
    """:func:`dropout` as a module."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.p, self.training)


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, sees: Sees = "all", p: float = 0.0
) -> Tensor:
    """Scaled dot-product attention, with dropout on its weights.

    Args:
        queries, keys, values: float [batch, heads, frames, depth]; queries may be of more or
            fewer frames than the others if each sees all.
        sees: which frames a frame looks at: all, or itself and those before it, or itself and
            those after it.
        p: probability that a weight is dropped; 0 when not training.

    Returns:
        float [batch, heads, frames, depth].
    """
    if not _is_fast(queries):
        return _fused_attention(queries, keys, values, sees, p)
    visible = None
    if sees != "all":
        visible = torch.ones(2 * (queries.shape[-2],), dtype=torch.bool).tril()
        visible = visible if sees == "past" else visible.T
    if not ((torch.is_grad_enabled() and queries.requires_grad) or p):
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=visible)
    bias = None
    if visible is not None:
        bias = torch.zeros(visible.shape, dtype=queries.dtype).masked_fill_(~visible, -math.inf)
    scaled = queries * queries.shape[-1] ** -0.5
    flat = (x.flatten(0, 1) for x in _cast(scaled, keys, values))
    context: Tensor = _Attention.apply(*flat, bias, p)  # type: ignore[no-untyped-call]
    return context.view(*queries.shape[:-1], values.shape[-1])


def _fused_attention(queries: Tensor, keys: Tensor, values: Tensor, sees: Sees, p: float) -> Tensor:
    """:func:`attention` where torch has one kernel for it that takes no mask but a causal one."""
    if sees == "all" and queries.shape[-2] * keys.shape[-2] <= _FEW:
        return _small_attention(queries, keys, values, p)
    if sees != "future":
        return F.scaled_dot_product_attention(
            queries, keys, values, dropout_p=p, is_causal=sees == "past"
        )
    return _fused_attention(queries.flip(-2), keys.flip(-2), values.flip(-2), "past", p).flip(-2)


def _small_attention(queries: Tensor, keys: Tensor, values: Tensor, p: float) -> Tensor:
    """:func:`attention` over a few positions, for which a tile of the fused kernel is too large."""
    scores = (queries.unsqueeze(-2) * keys.unsqueeze(-3)).sum(-1) * queries.shape[-1] ** -0.5
    weights = F.dropout(torch.softmax(scores, dim=-1), p).to(values.dtype)
    return (weights.unsqueeze(-1) * values.unsqueeze(-3)).sum(-2)


class _Attention(torch.autograd.Function):
    """``(softmax(q k^T + bias) * mask) v`` over [batch * heads, frames, depth]."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, p: float
    ) -> Tensor:
        scores = _widened(torch.bmm(queries, keys.transpose(1, 2)))
        if bias is not None:
            scores += bias
        weights = torch.softmax(scores, dim=-1)
        mask = keep_mask(weights.shape, p, weights.dtype) if p else None
        dropped = weights if mask is None else torch.mul(weights, mask, out=scores)
        dropped = dropped.to(values.dtype)
        context = torch.bmm(dropped, values)
        ctx.save_for_backward(queries, keys, values, weights, mask, dropped, context)
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, keys, values, weights, mask, dropped, context = ctx.saved_tensors
        grad_values = torch.bmm(dropped.transpose(1, 2), grad)
        # The softmax takes off the weighted mean of its gradient, which is also what the output
        # and its gradient have in common (Dao et al. 2022, appendix B.2).
        mean = _widened(grad * context).sum(dim=-1, keepdim=True)
        grad_scores = _widened(torch.bmm(grad, values.transpose(1, 2)))
        if mask is not None:
            grad_scores *= mask
        grad_scores = grad_scores.sub_(mean).mul_(weights).to(queries.dtype)
        grad_queries = torch.bmm(grad_scores, keys)
        grad_keys = torch.bmm(grad_scores.transpose(1, 2), queries)
        return grad_queries, grad_keys, grad_values, None, None


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution over time, three frames wide, zeros at the edges.

    Args:
        x: float [batch, frames, width in].
        weight: float [width out, width in, 3].
        bias: float [width out], or none.

    Returns:
        float [batch, frames, width out].
    """
    if not _is_fast(x):
        return F.conv1d(x.transpose(1, 2), weight, bias, padding=1).transpose(1, 2)
    # Frames of features are an image of height one in "channels last" order, which oneDNN
    # convolves as it lies.
    convolved = F.conv2d(_image(x), _image_weight(weight), bias, padding=(0, 1))
    return convolved.squeeze(2).transpose(1, 2)


def convolve_relu_dropout(x: Tensor, weight: Tensor, bias: Tensor | None, p: float) -> Tensor:
    """:func:`convolve`, then ReLU, then dropout with probability ``p`` (0 when not training)."""
    if p == 0.0 or not _is_fast(x):
        return dropout(F.relu(convolve(x, weight, bias)), p, True)
    x, weight = _cast(x, weight)
    if bias is not None:
        (bias,) = _cast(bias)
    output: Tensor = _ConvolutionStep.apply(x, weight, bias, p)  # type: ignore[no-untyped-call]
    return output


def _image(x: Tensor) -> Tensor:
    return x.transpose(1, 2).unsqueeze(2)


def _image_weight(weight: Tensor) -> Tensor:
    return weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class _ConvolutionStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, p: float) -> Tensor:
        y = F.conv2d(_image(x), _image_weight(weight), bias, padding=(0, 1))
        y = y.squeeze(2).transpose(1, 2)
        y.mul_(keep_mask(y.shape, p, y.dtype)).relu_()
        ctx.save_for_backward(x, weight, y)
        ctx.scale = 1.0 / (1.0 - _threshold(p) / 65_536)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, y = ctx.saved_tensors
        # What was dropped is 0 after the ReLU too, so the output says where the gradient goes.
        grad = torch.ops.aten.threshold_backward(grad, y, 0).mul_(ctx.scale)
        # The transpose of a convolution is one with the taps turned round.
        grad_x = convolve(grad, weight.flip(2).transpose(0, 1), None)
        batch, n_frames, width = x.shape
        # Rows of the three frames that each output frame saw.
        seen = x.new_empty(batch, n_frames, 3, width)
        seen[:, 0, 0] = 0
        seen[:, 1:, 0] = x[:, :-1]
        seen[:, :, 1] = x
        seen[:, :-1, 2] = x[:, 1:]
        seen[:, -1, 2] = 0
        rows = grad.flatten(0, 1)
        grad_weight = (rows.T @ seen.view(len(rows), 3 * width)).view(-1, 3, width).transpose(1, 2)
        return grad_x, grad_weight, _widened(rows).sum(0).to(grad.dtype), None


def feed_forward(
    x: Tensor, widen: nn.Linear, norm: nn.LayerNorm, narrow: nn.Linear, p: float
) -> Tensor:
    """``narrow(dropout(relu(norm(widen(x)))))``.

    Args:
        x: float [..., width].
        widen, norm, narrow: the layers; all have biases.
        p: probability of the dropout; 0 when not training.

    Returns:
        float [..., width of ``narrow``].
    """
    if not (torch.is_grad_enabled() and _is_fast(x)):
        output: Tensor = narrow(dropout(F.relu(norm(widen(x))), p, True))
        return output
    wide = _cast(x.flatten(0, -2), widen.weight, widen.bias)
    rows: Tensor = _FeedForwardStep.apply(  # type: ignore[no-untyped-call]
        *wide, norm.weight, norm.bias, *_cast(narrow.weight, narrow.bias), norm.eps, p
    )
    return rows.view(*x.shape[:-1], -1)


class _FeedForwardStep(torch.autograd.Function):
    """:func:`feed_forward` over [rows, width]; of what is wide, two tensors are kept."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gain: Tensor, offset: Tensor,
        narrow_weight: Tensor, narrow_bias: Tensor, eps: float, p: float,
    ) -> Tensor:  # fmt: skip
        wide = torch.addmm(bias, x, weight.T)
        y, mean, rstd = torch.native_layer_norm(wide, [wide.shape[1]], gain, offset, eps)
        y = y.relu_()
        if p:
            y.mul_(keep_mask(y.shape, p, y.dtype))
        ctx.save_for_backward(x, weight, wide, mean, rstd, gain, offset, y, narrow_weight)
        ctx.scale = 1.0 / (1.0 - _threshold(p) / 65_536)
        return torch.addmm(narrow_bias, y, narrow_weight.T)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, wide, mean, rstd, gain, offset, y, narrow_weight = ctx.saved_tensors
        # As in the convolution: the output is 0 where nothing comes back.
        grad_y = (grad * ctx.scale) @ narrow_weight
        grad_y = torch.ops.aten.threshold_backward(grad_y, y, 0)
        grad_wide, grad_gain, grad_offset = torch.ops.aten.native_layer_norm_backward(
            grad_y, wide, [wide.shape[1]], mean, rstd, gain, offset, [True, True, True]
        )
        return (
            grad_wide @ weight,
            grad_wide.T @ x,
            _widened(grad_wide).sum(0).to(grad.dtype),
            grad_gain,
            grad_offset,
            grad.T @ y,
            _widened(grad).sum(0).to(grad.dtype),
            None,
            None,
        )
