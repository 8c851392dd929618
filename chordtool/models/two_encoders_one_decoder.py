"""2E1D, the student with two encoders and one decoder of arXiv 2602.19778, in torch.

One encoder attends over groups of frequency bins within a frame, the other over time; the
decoder starts from their sum and attends to itself and to the temporal encoder. Residuals are
scaled by learnt scalars that start at 0 (ReZero, Bachlechner et al. 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from chordtool.models import kernels
from chordtool.models.kernels import Dropout


def positional_encoding(n_positions: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoids, float32 [n_positions, width]: sines in even columns, cosines in odd ones.

    Column i has the rate ``10000 ** (-2 i / width)``. In Vaswani et al. 2017 a sine and its
    cosine share a rate; the published student's code lets the exponent grow with every column.
    """
    columns = torch.arange(width, device=device)
    rates = 10_000.0 ** (-2.0 * columns / width)
    angles = torch.arange(n_positions, device=device)[:, None] * rates
    even = columns % 2 == 0
    return torch.where(even, angles.sin(), angles.cos())


class _Attention(nn.Module):
    """Multi-head attention with biases, and the ReZero scalar of the residual around it."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.queries = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)
        self.alpha = nn.Parameter(torch.zeros(1))
        # As torch.nn.MultiheadAttention starts: the three projections as one matrix.
        bound = (6.0 / (4 * width)) ** 0.5
        for linear in (self.queries, self.keys_values):
            nn.init.uniform_(linear.weight, -bound, bound)
            nn.init.zeros_(linear.bias)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Float [batch, positions, width]; ``context`` [batch, other positions, width]."""
        queries = self.queries(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        keys_values = self.keys_values(context).unflatten(-1, (2 * self.n_heads, -1))
        keys, values = keys_values.transpose(1, 2).chunk(2, dim=1)
        attended = kernels.attention(queries, keys, values)
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output


class _FeedForward(nn.Module):
    """Four times as wide inside, layer normalisation inside and after the residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.inner_norm = nn.LayerNorm(4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        p = self.dropout.p if self.training else 0.0
        y = kernels.feed_forward(x, self.widen, self.inner_norm, self.narrow, p)
        y = self.dropout(y)
        output: Tensor = self.norm(torch.addcmul(x, self.alpha, y))
        return output


class _EncoderLayer(nn.Module):
    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = _Attention(width, n_heads)
        self.feed_forward = _FeedForward(width, dropout)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attention(x, x)
        output: Tensor = self.feed_forward(torch.addcmul(x, self.attention.alpha, attended))
        return output


class _Encoder(nn.Module):
    """Encoder layers over [batch, positions, width]; :class:`_EncoderEnd` comes after it."""

    def __init__(
        self, width: int, n_layers: int, n_heads: int, dropout: float, position_scale: float
    ) -> None:
        super().__init__()
        self.position_scale = position_scale
        self.layers = nn.ModuleList(_EncoderLayer(width, n_heads, dropout) for _ in range(n_layers))

    def forward(self, x: Tensor) -> Tensor:
        positions = positional_encoding(x.shape[1], x.shape[2], x.device).to(x.dtype)
        x = x + self.position_scale * positions
        for layer in self.layers:
            x = layer(x)
        return x


class _EncoderEnd(nn.Module):
    """Dropout, a projection, layer normalisation."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.projection = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.norm(self.projection(self.dropout(x)))
        return output


class _DecoderLayer(nn.Module):
    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attention = _Attention(width, n_heads)
        self.cross_attention = _Attention(width, n_heads)
        self.feed_forward = _FeedForward(width, dropout)
        self.dropout = Dropout(dropout)

    def forward(self, y: Tensor, temporal: Tensor, norm: nn.Module) -> Tensor:
        for attention, context in ((self.self_attention, None), (self.cross_attention, temporal)):
            attended = self.dropout(attention(y, y if context is None else context))
            y = norm(torch.addcmul(y, attention.alpha, attended))
        output: Tensor = self.feed_forward(y)
        return output


class _Decoder(nn.Module):
    def __init__(
        self, width: int, n_layers: int, n_heads: int, dropout: float, position_scale: float
    ) -> None:
        super().__init__()
        self.position_scale = position_scale
        self.layers = nn.ModuleList(_DecoderLayer(width, n_heads, dropout) for _ in range(n_layers))
        # One normalisation serves all layers.
        self.norm = nn.LayerNorm(width)
        # Part of the published model and of its parameter count, but no output depends on it.
        self.unused_projection = nn.Linear(width, width).requires_grad_(False)

    def forward(self, frequency: Tensor, temporal: Tensor) -> Tensor:
        positions = positional_encoding(temporal.shape[1], temporal.shape[2], temporal.device)
        positions = positions.to(temporal.dtype)
        y = frequency + temporal + self.position_scale * positions
        for layer in self.layers:
            y = layer(y, temporal, self.norm)
        return y


class TwoEncodersOneDecoder(nn.Module):
    """The student with two encoders and one decoder; 2,290,441 parameters by default.

    Args:
        n_bins: bins of the features, a multiple of ``n_groups``.
        n_classes: classes of the vocabulary.
        dropout: probability, for everything that goes through a dropout.
        n_groups: into how many groups the frequency encoder cuts a frame's bins.
        frequency_layers, temporal_layers, decoder_layers: how many layers.
        frequency_heads, temporal_heads, decoder_heads: attention heads of each.

    Raises:
        ValueError: the heads do not divide the bins evenly.
    """

    def __init__(
        self,
        n_bins: int = 144,
        n_classes: int = 170,
        dropout: float = 0.3,
        *,
        n_groups: int = 2,
        frequency_layers: int = 3,
        frequency_heads: int = 2,
        temporal_layers: int = 4,
        temporal_heads: int = 4,
        decoder_layers: int = 3,
        decoder_heads: int = 4,
    ) -> None:
        super().__init__()
        if (
            n_bins % (n_groups * frequency_heads)
            or n_bins % temporal_heads
            or n_bins % decoder_heads
        ):
            raise ValueError("the heads do not divide the bins evenly")
        self.n_groups = n_groups
        group = n_bins // n_groups
        self.frequency_encoder = _Encoder(group, frequency_layers, frequency_heads, dropout, 0.01)
        self.frequency_end = _EncoderEnd(n_bins, dropout)
        self.temporal_encoder = _Encoder(n_bins, temporal_layers, temporal_heads, dropout, 0.02)
        self.temporal_end = _EncoderEnd(n_bins, dropout)
        self.decoder = _Decoder(n_bins, decoder_layers, decoder_heads, dropout, 0.01)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(n_bins, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Frame logits.

        Args:
            features: float [batch, frames, bins], normalised; frames >= 1.

        Returns:
            float [batch, frames, classes].
        """
        batch, n_frames, n_bins = features.shape
        groups = features.reshape(batch * n_frames, self.n_groups, n_bins // self.n_groups)
        frequency = self.frequency_encoder(groups).reshape(batch, n_frames, n_bins)
        frequency = self.frequency_end(frequency)
        temporal = self.temporal_end(self.temporal_encoder(features))
        output: Tensor = self.classifier(self.dropout(self.decoder(frequency, temporal)))
        return output
