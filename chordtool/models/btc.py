"""BTC, the bi-directional transformer for chord recognition (Park et al., ISMIR 2019), in torch.

Parameter names are those of the public checkpoint (jayg996/BTC-ISMIR19), so that its state dict
loads as it is; only its BiLSTM, which no forward pass uses, is left out.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from chordtool import catalogue
from chordtool.constantq import log_cqt
from chordtool.decoding import Decoding
from chordtool.errors import ModelError
from chordtool.frontend import BTC_FRONT_END
from chordtool.models import kernels
from chordtool.models.btc_checkpoint import read_checkpoint
from chordtool.models.card import ModelCard
from chordtool.models.windows import run_windows
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import VOCABULARIES

SEGMENT_FRAMES = 108
WIDTH = 128
N_HEADS = 4
N_LAYERS = 8


def timing_signal(n_frames: int, width: int, device: torch.device | None = None) -> Tensor:
    """Sinusoids that tell frames apart, float32 [n_frames, width].

    The first half of the columns are sines, the second half cosines, at wavelengths that grow
    geometrically from 2 pi to 2 pi * 10,000 positions (Vaswani et al. 2017, not interleaved).
    Positions are frames, up to the published model's 108. More frames than that share the same
    stretch, closer together (position interpolation, Chen et al. 2023, arXiv 2306.15595), so that
    weights that were trained on shorter segments hear no position that they do not know.
    """
    n_scales = width // 2
    scales = torch.arange(n_scales, device=device)
    rates = torch.exp(scales * (-math.log(10_000.0) / (n_scales - 1)))
    step = min(1.0, (SEGMENT_FRAMES - 1) / max(1, n_frames - 1))
    angles = (torch.arange(n_frames, device=device) * step)[:, None] * rates
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

    def forward(self, x: Tensor, sees: kernels.Sees) -> Tensor:
        """Attend.

        Args:
            x: float [batch, frames, width].
            sees: which frames a frame may look at.

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
        context = kernels.attention(queries, keys, values, sees, dropout)
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

    def forward(self, x: Tensor, sees: kernels.Sees) -> Tensor:
        x = x + self.multi_head_attention(self.layer_norm_mha(x), sees)
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

    def forward(self, x: Tensor) -> Tensor:
        both = torch.cat((self.attn_block(x, "past"), self.backward_attn_block(x, "future")), dim=2)
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
        x = x + timing_signal(n_frames, x.shape[2], x.device).to(x.dtype)
        for layer in self.self_attn_layers:
            x = layer(x)
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


def load() -> BtcModel:
    """The public checkpoint on this machine, as a model.

    Raises:
        ModelUnavailableError: it is not here.
        ModelError: it is damaged.
    """
    (path,) = catalogue.weights("btc")
    return BtcModel.from_checkpoint(path)


class BtcModel:
    """BTC as its authors run it: blocks of 108 frames side by side, the likeliest class of each.

    Args:
        network: with the weights of the checkpoint.
        card: with the checkpoint's mean and deviation on its front end.
    """

    def __init__(self, network: BTC, card: ModelCard) -> None:
        self.card = card
        self._network = network.eval().requires_grad_(False)

    @classmethod
    def from_checkpoint(cls, path: Path) -> BtcModel:
        """Read a checkpoint of the public format, for 170 or 25 classes.

        Raises:
            ModelError: it is broken, hostile, or not of this architecture.
        """
        checkpoint = read_checkpoint(path)
        weights = checkpoint.weights
        head = weights.get("output_layer.output_projection.bias")
        by_classes = {len(labels): name for name, labels in VOCABULARIES.items()}
        n_classes = head.numel() if head is not None else 0
        if n_classes not in by_classes:
            raise _unfit(path, f"it has {n_classes} classes")
        network = BTC(n_classes=n_classes)
        wanted = network.state_dict()
        if wanted.keys() != weights.keys():
            raise _unfit(path, "its parameters have other names")
        for name, tensor in weights.items():
            if tensor.shape != wanted[name].shape or tensor.dtype != torch.float32:
                raise _unfit(path, f"{name} has another shape or type")
            if not bool(torch.isfinite(tensor).all()):
                raise _unfit(path, f"{name} is not finite")
        network.load_state_dict(weights)
        described = catalogue.CATALOGUE["btc"]
        card = ModelCard(
            name="btc",
            architecture="btc",
            front_end=replace(BTC_FRONT_END, mean=checkpoint.mean, std=checkpoint.std),
            vocabulary=by_classes[n_classes],
            segment_frames=SEGMENT_FRAMES,
            decoding=Decoding(method="argmax"),
            licence=described.licence,
            source=described.source,
            description=described.description,
        )
        return cls(network, card)

    def features(self, samples: Samples) -> Features:
        """Log constant-Q of each 10 s on their own, float32 [frames, 144], not normalised."""
        return log_cqt(samples, self.card.front_end)

    def logits(self, features: Features) -> Logits:
        """Frame logits, float32 [frames, classes]; the last block is filled up with zeros."""
        if len(features) == 0:
            return np.zeros((0, len(VOCABULARIES[self.card.vocabulary])), np.float32)
        normalised = self.card.front_end.normalise(features)
        return run_windows(self._forward, normalised, SEGMENT_FRAMES)

    def _forward(self, blocks: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = self._network(torch.from_numpy(blocks)).numpy()
        return logits


def _unfit(path: Path, why: str) -> ModelError:
    return ModelError(
        f"The checkpoint {path} does not hold BTC: {why}.",
        hint="Run: chordtool models download btc",
    )
