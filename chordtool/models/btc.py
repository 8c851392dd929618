"""BTC, the bi-directional transformer for chord recognition (Park et al., ISMIR 2019), in torch.

Parameter names are those of the public checkpoint (jayg996/BTC-ISMIR19), so that its state dict
loads as it is; only its BiLSTM, which no forward pass uses, is left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from chordtool.models import kernels

WIDTH = 128
N_HEADS = 4
N_LAYERS = 8


def timing_signal(n_frames: int, width: int) -> Tensor:
    """Sinusoids that tell frames apart, float32 [n_frames, width].

    The first half of the columns are sines, the second half cosines, at wavelengths that grow
    geometrically from 2 pi to 2 pi * 10,000 frames (Vaswani et al. 2017, not interleaved).
    """
    n_scales = width // 2
    rates = torch.exp(torch.arange(n_scales) * (-math.log(10_000.0) / (n_scales - 1)))
    angles = torch.arange(n_frames)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)


class LayerNorm(nn.Module):
    """``gamma * (x - mean) / (std + 1e-6) + beta`` over the last axis, std unbiased.

    Computed as the usual layer normalisation with ``gamma * sqrt((n - 1) / n)`` for a weight,
    because the unbiased deviation is ``sqrt(n / (n - 1))`` times the biased one. The offset of
    1e-6 becomes 1e-12 inside the root; the two differ by less than 1e-6 / std, relatively.
    """

    EPS = 1e-12

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.scale = math.sqrt((width - 1) / width)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.gamma * self.scale, self.beta, self.EPS)


class _Attention(nn.Module):
    """Multi-head self-attention without biases that sees only the past, or only the future."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.dropout = dropout
        self.query_linear = nn.Linear(width, width, bias=False)
        self.key_linear = nn.Linear(width, width, bias=False)
        self.value_linear = nn.Linear(width, width, bias=False)
        self.output_linear = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Attend.

        Args:
            x: float [batch, frames, width].
            visible: bool [frames, frames]; which frame (row) may look at which (column).

        Returns:
            float [batch, frames, width].
        """
        projections = (self.query_linear, self.key_linear, self.value_linear)
        stacked = F.linear(x, torch.cat([projection.weight for projection in projections]))
        # [batch, frames, 3 * width] -> three times [batch, heads, frames, depth]
        batch, n_frames, width = x.shape
        split = stacked.view(batch, n_frames, 3, self.n_heads, width // self.n_heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4).contiguous()
        dropout = self.dropout if self.training else 0.0
        context = kernels.attention(queries, keys, values, visible, dropout)
        output: Tensor = self.output_linear(context.transpose(1, 2).flatten(2))
        return output


class _Convolution(nn.Module):
    """Convolution over time, three frames wide, ReLU, dropout."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel_size=3, padding=1)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        return kernels.convolve_relu_dropout(x, self.conv.weight, self.conv.bias, dropout)


class _FeedForward(nn.Module):
    """Two convolutions; [batch, frames, width] in and out."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Convolution(width, dropout) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class _Block(nn.Module):
    """Attention in one direction, then the convolutions; each around a residual."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.multi_head_attention = _Attention(width, n_heads, dropout)
        self.positionwise_convolution = _FeedForward(width, dropout)
        self.layer_norm_mha = LayerNorm(width)
        self.layer_norm_ffn = LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        x = x + self.multi_head_attention(self.layer_norm_mha(x), visible)
        x = kernels.dropout(x, self.dropout, self.training, inplace=True)
        x = x + self.positionwise_convolution(self.layer_norm_ffn(x))
        return kernels.dropout(x, self.dropout, self.training, inplace=True)


class _Layer(nn.Module):
    """A block that may not see the future beside one that may not see the past."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attn_block = _Block(width, n_heads, dropout)
        self.backward_attn_block = _Block(width, n_heads, dropout)
        self.linear = nn.Linear(2 * width, width)

    def forward(self, x: Tensor, past: Tensor, future: Tensor) -> Tensor:
        both = torch.cat((self.attn_block(x, past), self.backward_attn_block(x, future)), dim=2)
        output: Tensor = self.linear(both)
        return output


class _Layers(nn.Module):
    def __init__(
        self, n_bins: int, width: int, n_layers: int, n_heads: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding_proj = nn.Linear(n_bins, width, bias=False)
        self.self_attn_layers = nn.ModuleList(
            _Layer(width, n_heads, dropout) for _ in range(n_layers)
        )
        self.layer_norm = LayerNorm(width)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        n_frames = x.shape[1]
        x = self.embedding_proj(kernels.dropout(x, self.dropout, self.training))
        x = x + timing_signal(n_frames, x.shape[2]).to(x)
        past = torch.ones(n_frames, n_frames, dtype=torch.bool, device=x.device).tril()
        for layer in self.self_attn_layers:
            x = layer(x, past, past.T)
        output: Tensor = self.layer_norm(x)
        return output


class _Output(nn.Module):
    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.output_projection = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.output_projection(x)
        return output


class BTC(nn.Module):
    """The bi-directional transformer for chord recognition; 2,937,514 parameters by default.

    Args:
        n_bins: bins of the features.
        n_classes: classes of the vocabulary.
        dropout: probability, for the input, the attention weights, each ReLU and each block.
    """

    def __init__(self, n_bins: int = 144, n_classes: int = 170, dropout: float = 0.2) -> None:
        super().__init__()
        self.self_attn_layers = _Layers(n_bins, WIDTH, N_LAYERS, N_HEADS, dropout)
        self.output_layer = _Output(WIDTH, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Frame logits.

        Args:
            features: float [batch, frames, bins], normalised; frames >= 1. The published model
                was trained on 108.

        Returns:
            float [batch, frames, classes].
        """
        output: Tensor = self.output_layer(self.self_attn_layers(features))
        return output
