"""The published BTC modules, plainly: own masks, own LayerNorm, no fused attention.

What a training step is measured against. Written from the description of the published modules
(Park et al., ISMIR 2019), one operation after the other, with their parameter names, so that a
state dict fits both this and :class:`chordtool.models.btc.BTC`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def timing_signal(n_frames: int, width: int) -> Tensor:
    n_scales = width // 2
    step = math.log(10_000.0) / (n_scales - 1)
    angles = torch.arange(n_frames)[:, None] * torch.exp(torch.arange(n_scales) * -step)
    return torch.cat((angles.sin(), angles.cos()), dim=1)[None]


class LayerNorm(nn.Module):
    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.beta = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(-1, keepdim=True)
        std = x.std(-1, keepdim=True)
        return self.gamma * (x - mean) / (std + self.eps) + self.beta


class MultiHeadAttention(nn.Module):
    def __init__(self, width: int, n_heads: int, mask: Tensor, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.mask = mask
        self.query_linear = nn.Linear(width, width, bias=False)
        self.key_linear = nn.Linear(width, width, bias=False)
        self.value_linear = nn.Linear(width, width, bias=False)
        self.output_linear = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def split(self, x: Tensor) -> Tensor:
        batch, n_frames, width = x.shape
        return x.view(batch, n_frames, self.n_heads, width // self.n_heads).permute(0, 2, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        batch, n_frames, width = x.shape
        queries = self.split(self.query_linear(x)) * (width // self.n_heads) ** -0.5
        keys = self.split(self.key_linear(x))
        values = self.split(self.value_linear(x))
        logits = torch.matmul(queries, keys.permute(0, 1, 3, 2))
        logits = logits + self.mask[:, :, :n_frames, :n_frames].type_as(logits)
        weights = self.dropout(torch.softmax(logits, dim=-1))
        contexts = torch.matmul(weights, values)
        merged = contexts.permute(0, 2, 1, 3).contiguous().view(batch, n_frames, width)
        output: Tensor = self.output_linear(merged)
        return output


class Conv(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((1, 1), 0.0)
        self.conv = nn.Conv1d(width, width, kernel_size=3)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv(self.pad(x.permute(0, 2, 1))).permute(0, 2, 1)
        return output


class FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Conv(width), Conv(width)])
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.dropout(torch.relu(layer(x)))
        return x


class Block(nn.Module):
    def __init__(self, width: int, n_heads: int, mask: Tensor, dropout: float) -> None:
        super().__init__()
        self.multi_head_attention = MultiHeadAttention(width, n_heads, mask, dropout)
        self.positionwise_convolution = FeedForward(width, dropout)
        self.layer_norm_mha = LayerNorm(width)
        self.layer_norm_ffn = LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(x + self.multi_head_attention(self.layer_norm_mha(x)))
        output: Tensor = self.dropout(x + self.positionwise_convolution(self.layer_norm_ffn(x)))
        return output


class Layer(nn.Module):
    def __init__(self, width: int, n_heads: int, max_frames: int, dropout: float) -> None:
        super().__init__()
        mask = torch.triu(torch.full((1, 1, max_frames, max_frames), -math.inf), 1)
        self.attn_block = Block(width, n_heads, mask, dropout)
        self.backward_attn_block = Block(width, n_heads, mask.transpose(2, 3), dropout)
        self.linear = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.attn_block(x), self.backward_attn_block(x)), dim=2)
        output: Tensor = self.linear(both)
        return output


class Layers(nn.Module):
    def __init__(
        self, n_bins: int, width: int, n_layers: int, n_heads: int, max_frames: int, dropout: float
    ) -> None:
        super().__init__()
        self.timing_signal = timing_signal(max_frames, width)
        self.embedding_proj = nn.Linear(n_bins, width, bias=False)
        self.self_attn_layers = nn.Sequential(
            *(Layer(width, n_heads, max_frames, dropout) for _ in range(n_layers))
        )
        self.layer_norm = LayerNorm(width)
        self.input_dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding_proj(self.input_dropout(x))
        x = x + self.timing_signal[:, : x.shape[1]].type_as(x)
        output: Tensor = self.layer_norm(self.self_attn_layers(x))
        return output


class Output(nn.Module):
    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.output_projection = nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.output_projection(x)
        return output


class PlainBTC(nn.Module):
    """[batch, frames, 144] -> [batch, frames, 170], frames <= 108."""

    def __init__(self, n_bins: int = 144, n_classes: int = 170, dropout: float = 0.2) -> None:
        super().__init__()
        self.self_attn_layers = Layers(n_bins, 128, 8, 4, 108, dropout)
        self.output_layer = Output(128, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.output_layer(self.self_attn_layers(x))
        return output
