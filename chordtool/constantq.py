"""The constant-Q transform that every student hears, in numpy.

:func:`log_cqt` computes what a :class:`~chordtool.frontend.FrontEnd` of kind ``"cqt"``
describes. It agrees with ``librosa.cqt`` (McFee et al., SciPy 2015), which follows Schoerkhuber
and Klapuri (SMC 2010): filter the top octave, halve the rate, filter the next one with the same
kernel, and so on. Two things make it fast. The signal is halved by a short half-band filter,
because the filters of an octave leave the upper part of the band unused. And the kernels of an
octave are one matrix in the time domain, so that an octave is one matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from chordtool.frontend import FrontEnd
from chordtool.types import Features, Samples

# Equivalent noise bandwidth of the Hann window in bins, as librosa tabulates it.
_HANN_BANDWIDTH: Final = 1.50018310546875
# librosa drops the smallest spectral coefficients of each kernel, up to this share of the sum
# of their magnitudes. The students' features have it, so it is part of the definition.
_SPARSITY: Final = 0.01
# A kernel is cut into at most as many pieces as this; beyond it, adding them up costs more than
# copying each frame out.
_MOST_PIECES: Final = 8
BLOCK_FRAMES: Final = 648
"""Frames computed at a time: six windows of the students. Memory beyond the signal stays small
however long it is, and the first blocks are there while the rest is being decoded."""


def log_cqt(samples: Samples, front_end: FrontEnd) -> Features:
    """Log constant-Q magnitudes, not normalised.

    Args:
        samples: float32 [n], mono at ``front_end.sample_rate``, any n.
        front_end: a description of kind ``"cqt"``.

    Returns:
        float32 [frames, n_bins]: ``log(magnitude + log_offset)``. No samples give no frames;
        one sample gives one. In chunked mode each chunk is transformed on its own and the
        frames are joined.

    Raises:
        ValueError: the highest bin lies above half the sample rate, or the kind is not "cqt".
    """
    return _logarithm(cqt_magnitude(samples, front_end), front_end)


def cqt_magnitude(samples: Samples, front_end: FrontEnd) -> Features:
    """Constant-Q magnitudes, float32 [frames, n_bins]; see :func:`log_cqt`."""
    blocks = list(CqtStream(front_end).advance(samples, finished=True))
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate(blocks) if blocks else np.empty((0, front_end.n_bins), np.float32)


def _logarithm(magnitude: Features, front_end: FrontEnd) -> Features:
    magnitude += np.float32(front_end.log_offset)
    np.log(magnitude, out=magnitude)
    return magnitude


class CqtStream:
    """The transform of a recording that arrives in pieces.

    Frames come in blocks that lie the same however the recording is cut, so that the result is
    to the bit that of the whole recording. What no later frame can hear is let go of.

    Args:
        front_end: a description of kind ``"cqt"``.

    Raises:
        ValueError: the highest bin lies above half the sample rate, or the kind is not "cqt".
    """

    def __init__(self, front_end: FrontEnd) -> None:
        if front_end.kind != "cqt":
            raise ValueError(f"{front_end.kind!r} is not a constant-Q front end")
        self._front_end = front_end
        self._transform = _transform(
            float(front_end.sample_rate),
            front_end.hop_length,
            front_end.n_bins,
            front_end.bins_per_octave,
            front_end.fmin,
        )
        self._begin_chunk()

    def _begin_chunk(self) -> None:
        """Start over with a new chunk, or with the recording where there are none."""
        self._pieces: list[Samples] = []
        self._origin = 0
        """Where in the chunk the pieces begin."""
        self._n = 0
        """Samples of the chunk so far."""
        self._frame = 0

    def advance(self, samples: Samples, *, finished: bool) -> Iterator[Features]:
        """Blocks of magnitudes that become certain by the next samples.

        Args:
            samples: float32 [n], those that follow on the earlier ones.
            finished: whether the recording ends with them.

        Yields:
            float32 [frames, n_bins], in order.
        """
        samples = np.ascontiguousarray(samples, np.float32)
        length = self._front_end.chunk_samples
        while length is not None and self._n + len(samples) >= length:
            room = length - self._n
            yield from self._blocks(samples[:room], finished=True)
            self._begin_chunk()
            samples = samples[room:]
        yield from self._blocks(samples, finished=finished)

    def log_advance(self, samples: Samples, *, finished: bool) -> Iterator[Features]:
        """As :meth:`advance`, with the logarithm of :func:`log_cqt` taken."""
        for magnitude in self.advance(samples, finished=finished):
            yield _logarithm(magnitude, self._front_end)

    def _blocks(self, samples: Samples, *, finished: bool) -> Iterator[Features]:
        transform = self._transform
        self._pieces.append(samples)
        self._n += len(samples)
        n = self._n
        n_frames = transform.n_frames(n) if finished else n // transform.hop
        while self._frame < n_frames:
            first = self._frame
            stop = first + BLOCK_FRAMES
            end = stop * transform.hop + transform.context
            if end > n and not finished:
                return
            stop = min(stop, n_frames)
            held = self._held_from(max(0, first * transform.hop - transform.context))
            out = np.empty((stop - first, self._front_end.n_bins), np.float32)
            transform.run(
                held[: min(end, n) - self._origin], first * transform.hop - self._origin, out
            )
            self._frame = stop
            yield out

    def _held_from(self, begin: int) -> Samples:
        """The samples from there on in one piece; the earlier ones are let go of."""
        held = self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)
        held = held[begin - self._origin :]
        self._pieces, self._origin = [held], begin
        return held


@dataclass(frozen=True)
class _Octave:
    halvings: int
    """How often the signal is halved before this octave is filtered."""
    hop: int
    """Hop at this octave's rate."""
    low: int
    """First bin of the octave."""
    n_bins: int
    kernel: NDArray[np.float32]
    """float32 [n_fft, 2 * n_bins]: real parts, then imaginary parts, gain included."""


@dataclass(frozen=True)
class _Transform:
    hop: int
    octaves: tuple[_Octave, ...]
    context: int
    """Samples before and after a stretch that its frames and the half-band filters can hear;
    a multiple of ``2 ** halvings`` and of the hop."""

    def n_frames(self, n_samples: int) -> int:
        """Frames of a recording, as librosa counts them."""
        if n_samples == 0:
            return 0
        return 1 + min(-(-n_samples // (1 << o.halvings)) // o.hop for o in self.octaves)

    def run(self, signal: Samples, offset: int, out: Features) -> None:
        """Write magnitudes of frames centred on ``offset``, ``offset + hop``, ... of a stretch."""
        halved = 0
        for octave in self.octaves:
            while halved < octave.halvings:
                signal = halve(signal)
                halved += 1
            response = _filter(
                signal, octave.kernel, octave.hop, offset >> octave.halvings, len(out)
            )
            real, imaginary = response[:, : octave.n_bins], response[:, octave.n_bins :]
            target = out[:, octave.low : octave.low + octave.n_bins]
            np.square(real, out=real)
            np.square(imaginary, out=imaginary)
            np.add(real, imaginary, out=real)
            np.sqrt(real, out=target)


@lru_cache(maxsize=16)
def _transform(rate: float, hop: int, n_bins: int, bins_per_octave: int, fmin: float) -> _Transform:
    """Plan the octaves; the arithmetic of rates and lengths is that of ``librosa.vqt``."""
    frequencies = fmin * 2.0 ** (np.arange(n_bins) / bins_per_octave)
    n_octaves = math.ceil(n_bins / bins_per_octave)
    alpha = relative_bandwidth(bins_per_octave)
    cutoff = float(frequencies[-1] * (1 + 0.5 * _HANN_BANDWIDTH * alpha))
    if cutoff > rate / 2:
        raise ValueError(f"the highest bin needs {2 * cutoff:.0f} Hz, the audio has {rate:.0f}")
    twos = (hop & -hop).bit_length() - 1
    early = min(
        max(0, math.ceil(math.log2(rate / 2 / cutoff)) - 2),
        max(0, twos - n_octaves + 1),
    )
    halvings, octaves = early, []
    # Octaves whose frequencies lie alike within their rates, as they mostly do, share a kernel.
    known, shape = np.empty(0), np.empty(0, np.float32)
    per_octave = min(bins_per_octave, n_bins)
    for octave in range(n_octaves):
        high = n_bins - octave * per_octave
        low = max(0, high - per_octave)
        here = frequencies[low:high] * (2**halvings / rate)
        if len(here) != len(known) or not np.allclose(here, known, rtol=1e-12, atol=0):
            known, shape = here, _kernel(here, alpha)
        # The filter's length counts in samples of the original rate.
        kernel = shape * np.float32(math.sqrt(2.0**halvings))
        octaves.append(_Octave(halvings, hop >> halvings, low, high - low, kernel))
        if (hop >> halvings) % 2 == 0:
            halvings += 1
    reach = max((len(o.kernel) // 2 + 2 * _HALF_BAND_REACH + 2) << o.halvings for o in octaves)
    grain = math.lcm(hop, 2 ** max(o.halvings for o in octaves))
    return _Transform(hop, tuple(octaves), -(-reach // grain) * grain)


def relative_bandwidth(bins_per_octave: int) -> float:
    """Bandwidth of a constant-Q filter over its centre frequency, as librosa defines it."""
    relative: float = 2.0 ** (2.0 / bins_per_octave)
    return (relative - 1) / (relative + 1)


def _kernel(frequencies: NDArray[np.float64], alpha: float) -> NDArray[np.float32]:
    """Time-domain kernels of an octave, float32 [n_fft, 2 * bins].

    Each is a wavelet scaled by the square root of its length in samples.

    Args:
        frequencies: centres over the sample rate.
        alpha: bandwidth over frequency.
    """
    lengths = 1 / (alpha * frequencies)
    n_fft = 2 ** math.ceil(math.log2(lengths.max()))
    spectrum = wavelet_spectra(frequencies, 1.0, alpha, n_fft)
    spectrum *= np.sqrt(lengths)[:, None]
    # The response is the product of this half spectrum with the frame's; as a sum over samples
    # its kernel is the forward transform of the (zero-padded) half spectrum.
    padded = np.zeros((len(frequencies), n_fft), np.complex128)
    padded[:, : n_fft // 2 + 1] = spectrum
    kernel = np.fft.fft(padded, axis=1).T / n_fft
    return np.concatenate([kernel.real, kernel.imag], axis=1).astype(np.float32)


def wavelet_spectra(
    frequencies: NDArray[np.float64], rate: float, alpha: float, n_fft: int
) -> NDArray[np.complex128]:
    """Spectra of constant-Q wavelets, negative frequencies dropped.

    Each wavelet is a Hann-windowed complex exponential, a constant number of periods long, with
    samples that sum to one in magnitude; its spectrum is thinned as librosa does.

    Args:
        frequencies: centres in Hz.
        rate: sample rate in Hz.
        alpha: bandwidth over frequency; a wavelet is ``rate / (alpha * frequency)`` samples.
        n_fft: length of the transform, at least that of the longest wavelet.

    Returns:
        complex128 [bins, n_fft // 2 + 1].
    """
    lengths = rate / (alpha * frequencies)
    basis = np.zeros((len(frequencies), n_fft), np.complex128)
    for row, length, frequency in zip(basis, lengths, frequencies, strict=True):
        times = np.arange(-length // 2, length // 2)
        n = len(times)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
        begin = (n_fft - n) // 2
        row[begin : begin + n] = (
            window / window.sum() * np.exp(2j * np.pi * frequency / rate * times)
        )
    spectrum = np.fft.fft(basis, axis=1)[:, : n_fft // 2 + 1]
    magnitude = np.abs(spectrum)
    ordered = np.sort(magnitude, axis=1)
    share = np.cumsum(ordered / ordered.sum(axis=1, keepdims=True), axis=1)
    threshold = np.take_along_axis(ordered, np.argmin(share < _SPARSITY, axis=1)[:, None], 1)
    spectrum[magnitude < threshold] = 0
    return spectrum


def _filter(
    signal: Samples, kernel: NDArray[np.float32], hop: int, centre: int, n_frames: int
) -> NDArray[np.float32]:
    """Inner products of a kernel with frames centred on ``centre + k * hop``.

    Returns:
        float32 [n_frames, columns of the kernel]; the signal is zero outside its ends.
    """
    n_fft, columns = kernel.shape
    padded = _cut(signal, centre - n_fft // 2, (n_frames - 1) * hop + n_fft)
    pieces, rest = divmod(n_fft, hop)
    if hop >= n_fft or rest or pieces > _MOST_PIECES:
        stride = padded.strides[0]
        frames = as_strided(padded, (n_frames, n_fft), (hop * stride, stride), writeable=False)
        # Rows that do not overlap are a strided matrix that BLAS reads in place.
        rows = frames if hop >= n_fft else np.ascontiguousarray(frames)
        responses: NDArray[np.float32] = rows @ kernel
        return responses
    # Overlapping frames share hops: multiply each hop once with every piece of the kernel and
    # add the pieces up along the diagonals.
    hops = padded.reshape(-1, hop)
    stacked = kernel.reshape(pieces, hop, columns).transpose(1, 0, 2).reshape(hop, -1)
    products = (hops @ stacked).reshape(len(hops), pieces, columns)
    total: NDArray[np.float32] = products[:n_frames, 0].copy()
    for piece in range(1, pieces):
        total += products[piece : piece + n_frames, piece]
    return total


def _cut(signal: Samples, begin: int, length: int) -> Samples:
    """``signal[begin : begin + length]``, contiguous, with zeros where the signal ends."""
    end = begin + length
    if begin >= 0 and end <= len(signal):
        return np.ascontiguousarray(signal[begin:end])
    cut = np.zeros(length, np.float32)
    first, last = max(0, begin), min(len(signal), end)
    if last > first:
        cut[first - begin : last - begin] = signal[first:last]
    return cut


# Half-band low-pass: a Kaiser-windowed sinc. The filters of an octave end below 0.4 of the new
# Nyquist frequency, so what must be kept ends at 0.2 of the old rate's half and what would fold
# onto it begins at 0.8 of it; its taps leave errors below 2e-5 there.
_HALF_BAND_REACH: Final = 13
_PIECE: Final = 1 << 15
"""Samples that are halved to at a time."""


@lru_cache(maxsize=1)
def _half_band() -> tuple[float, ...]:
    """The taps at offsets 1, 3, 5, ...; the one at 0 is 1/2 and the other even ones are 0."""
    offsets = np.arange(1, _HALF_BAND_REACH + 1, 2)
    window = np.i0(10.5 * np.sqrt(1 - (offsets / (_HALF_BAND_REACH + 1)) ** 2)) / np.i0(10.5)
    taps = np.sin(np.pi * offsets / 2) / (np.pi * offsets) * window
    taps *= 0.25 / taps.sum()
    return tuple(taps.tolist())


def halve(signal: Samples) -> Samples:
    """Halve the sample rate: sample k of the result lies at sample 2k of the signal.

    Args:
        signal: float32 [n].

    Returns:
        float32 [ceil(n / 2)]. Accurate to 2e-5 up to 0.4 of the new Nyquist frequency, which
        is all that the octaves below need; above that it leaks and aliases.
    """
    taps = _half_band()
    reach = len(taps)
    n_out = -(-len(signal) // 2)
    halved: Samples = np.empty(n_out, np.float32)
    # In pieces that stay in the cache: the sum runs over the same samples once a tap.
    buffer = np.empty(min(n_out, _PIECE), np.float32)
    for begin in range(0, n_out, _PIECE):
        length = min(n_out - begin, _PIECE)
        odd = _cut(signal[1::2], begin - reach, length + 2 * reach)
        target, pair = halved[begin : begin + length], buffer[:length]
        np.multiply(signal[2 * begin : 2 * (begin + length) : 2], np.float32(0.5), out=target)
        for k, tap in enumerate(taps):
            np.add(odd[reach - 1 - k :][:length], odd[reach + k :][:length], out=pair)
            np.multiply(pair, np.float32(tap), out=pair)
            np.add(target, pair, out=target)
    return halved
