"""The front end: how mono samples become log constant-Q frames, described once.

:class:`FrontEnd` describes; :mod:`chordtool.constantq` computes. Training and inference use the
same description, and every corpus, checkpoint and exported model carries it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

C1: Final = 32.70319566257483
"""Frequency of C1 in Hz at A4 = 440 Hz."""

MAX_FILTER_SECONDS: Final = 10.0
MAX_KERNEL_BYTES: Final = 64 << 20
MAX_VALUES_PER_SECOND: Final = 100_000
"""The students' front end has 1,550."""
MAX_FRAMES_PER_SECOND: Final = 100
"""Each is answered for every class, however few bins it has. The students hear 11, lv 43."""

KINDS: Final = ("cqt", "hybrid-cqt", "harmonic-cqt-db", "other")

_FROM_HOP_ON: Final = ("hybrid-cqt", "harmonic-cqt-db")
"""Kinds whose frames were labelled as the stretch from one hop to the next."""


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _real(value: object, low: float, high: float) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        # Comparing comes first: a whole number may be too large for a float.
        and low <= value <= high
        and math.isfinite(value)
    )


@dataclass(frozen=True)
class FrontEnd:
    """Description of a front end. The defaults are those of the students.

    BTC's own front end is ``FrontEnd(chunk_samples=220_500)``: each 10 s are transformed on
    their own.
    """

    kind: str = "cqt"
    """``"cqt"``: :func:`chordtool.constantq.log_cqt`. The others name front ends of teachers."""
    sample_rate: int = 22_050
    """Hz."""
    hop_length: int = 2048
    """Samples between frames."""
    n_bins: int = 144
    """Constant-Q bins."""
    bins_per_octave: int = 24
    fmin: float = C1
    """Centre of the lowest bin in Hz."""
    chunk_samples: int | None = None
    """Transform stretches of this many samples on their own; ``None``: the whole recording."""
    log_offset: float = 1e-6
    """The features are ``log(magnitude + log_offset)``."""
    mean: float = 0.0
    """Subtracted from the features by :meth:`normalise`."""
    std: float = 1.0
    """The features are divided by it in :meth:`normalise`, after the mean was taken off."""

    def __post_init__(self) -> None:
        checks = {
            "kind": self.kind in KINDS,
            "sample_rate": _whole(self.sample_rate, 1_000, 400_000),
            "hop_length": _whole(self.hop_length, 1, 1 << 17),
            "n_bins": _whole(self.n_bins, 1, 4096),
            "bins_per_octave": _whole(self.bins_per_octave, 1, 512),
            "fmin": _real(self.fmin, 1e-3, 1e5),
            "chunk_samples": self.chunk_samples is None
            or _whole(self.chunk_samples, self.hop_length, 1 << 31),
            "log_offset": _real(self.log_offset, 0.0, 1.0),
            "mean": _real(self.mean, -1e6, 1e6),
            "std": _real(self.std, 1e-9, 1e6),
        }
        for name, good in checks.items():
            if not good:
                raise ValueError(f"front end {name} is {getattr(self, name)!r}")

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next.

        ``hop_length / sample_rate``; in chunked mode a chunk's length over its frames, which is
        10/108 s for BTC.
        """
        if self.chunk_samples is None:
            return self.hop_length / self.sample_rate
        frames = 1 + self.chunk_samples // self.hop_length
        return self.chunk_samples / self.sample_rate / frames

    @property
    def _begins_on_hop(self) -> bool:
        return self.chunk_samples is not None or self.kind in _FROM_HOP_ON

    def frame_times(self, n_frames: int) -> NDArray[np.float64]:
        """The time that each frame stands for in seconds, float64 [n_frames].

        Frame k is centred on sample ``k * hop_length``. In chunked mode, and for the teachers'
        front ends, it stands as in their own programs, which trained them so, for the stretch
        from ``k * frame_seconds`` on, and this is its middle.
        """
        offset = 0.5 if self._begins_on_hop else 0.0
        times: NDArray[np.float64] = (
            np.arange(n_frames, dtype=np.float64) + offset
        ) * self.frame_seconds
        return times

    def frame_edges(self, n_frames: int, seconds: float) -> NDArray[np.float64]:
        """The times between frames in seconds, float64 [n_frames + 1].

        Frame k reaches from edge k to edge k + 1; the first edge is 0, the last ``seconds``,
        the edges never fall.
        """
        offset = 0.0 if self._begins_on_hop else 0.5
        edges: NDArray[np.float64] = (
            np.arange(n_frames + 1, dtype=np.float64) - offset
        ) * self.frame_seconds
        np.clip(edges, 0.0, seconds, out=edges)
        edges[0] = 0.0
        edges[-1] = seconds
        return edges

    def normalise(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """``(features - mean) / std``, float32, same shape."""
        normal: NDArray[np.float32] = (features - np.float32(self.mean)) / np.float32(self.std)
        return normal

    def check_computable(self) -> None:
        """Refuse a constant-Q that the audio has no room for, or that costs absurdly much.

        Raises:
            ValueError: the highest bin lies above half the sample rate, the kernels or the
                features of a second are too large, the lowest filter is too long, or the
                frames are too many.
        """
        relative = 2.0 ** (2.0 / self.bins_per_octave)
        bandwidth = (relative - 1) / (relative + 1)
        seconds = 1 / (bandwidth * self.fmin)
        octaves = (self.n_bins - 1) / self.bins_per_octave
        checks = {
            "a highest bin above half the sample rate": octaves < 64
            and 2 * self.fmin * 2.0**octaves * (1 + 0.76 * bandwidth) <= self.sample_rate,
            "a lowest filter of more than 10 s": seconds <= MAX_FILTER_SECONDS,
            "kernels of more than 64 MiB": 8
            * self.bins_per_octave * self.sample_rate * seconds <= MAX_KERNEL_BYTES,
            "more than 100,000 values a second": self.n_bins * self.sample_rate
            <= MAX_VALUES_PER_SECOND * self.hop_length,
            "more than 100 frames a second": self.frame_seconds * MAX_FRAMES_PER_SECOND >= 1,
        }  # fmt: skip
        for name, good in checks.items():
            if not good:
                raise ValueError(f"front end has {name}")

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that tell two kinds of features apart.

        Two descriptions with the same fingerprint give the same features; the normalisation,
        which each model applies for itself, does not count.
        """
        import hashlib  # transcribing a song takes no fingerprints, and OpenSSL is large

        described = {k: v for k, v in asdict(self).items() if k not in ("mean", "std")}
        text = json.dumps(described, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready description."""
        return asdict(self)

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> FrontEnd:
        """Read a description.

        Raises:
            ValueError: a field is out of its range, or unknown.
            TypeError: the document is not a mapping.
        """
        if not isinstance(document, dict):
            raise TypeError("front_end is not an object")
        unknown = set(document) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"front end has unknown fields {sorted(unknown)[:3]}")
        return cls(**document)


BTC_FRONT_END: Final = FrontEnd(chunk_samples=220_500)
"""The front end of the public BTC checkpoint, without its normalisation."""
