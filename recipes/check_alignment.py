"""Check that rendered labels say what is heard, and when.

Usage: ``python -m recipes.check_alignment DIR [--files N]``

For each recording the chroma under its labels is compared with the labels' own chord tones, with
those of every other transposition, and with those of labels moved in time. In a sound folder the
labels as they are win.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile
from numpy.typing import NDArray

from chordtool.formats.lab import read_lab
from chordtool.segments import Segment
from recipes.accompaniment import harmony

HOP = 256


def templates(
    segments: Sequence[Segment], frames: int, rate: int, shift: float = 0.0
) -> NDArray[np.float64]:
    """Chord tones of the label at each frame, less their mean; zeros where no chord is.

    Args:
        segments: tile the recording.
        frames: how many.
        rate: samples a second.
        shift: seconds by which the labels are moved to later.

    Returns:
        float64 [12, frames].
    """
    times = np.arange(frames) * HOP / rate
    found = np.zeros((12, frames))
    for segment in segments:
        chord = harmony(segment.label)
        if chord is None:
            continue
        inside = (times >= segment.start + shift) & (times < segment.end + shift)
        tones = np.zeros(12)
        tones[[(chord.root + i) % 12 for i in chord.intervals]] = 1.0
        found[:, inside] = (tones - tones.mean())[:, None]
    return found


def check(path: Path) -> tuple[NDArray[np.float64], float]:
    """Score of each transposition 0..11, and the shift in seconds at which labels fit best."""
    audio, rate = soundfile.read(path, dtype="float32")
    segments = read_lab(path.with_suffix(".lab").read_bytes()).segments
    spectrum = np.abs(librosa.stft(audio, n_fft=4096, hop_length=HOP)) ** 0.5
    chroma = librosa.feature.chroma_stft(S=spectrum, sr=rate, n_fft=4096, tuning=0.0)
    frames = chroma.shape[1]
    fixed = templates(segments, frames, rate)
    scores = np.array([np.sum(np.roll(fixed, k, axis=0) * chroma) for k in range(12)])
    shifts = np.arange(-0.3, 0.301, 0.01)
    fit = [np.sum(templates(segments, frames, rate, s) * chroma) for s in shifts]
    return scores, float(shifts[int(np.argmax(fit))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line a file; returns 1 if any file's labels fit better transposed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=10)
    options = parser.parse_args(arguments)
    paths = sorted(options.folder.glob("*.flac"))
    paths = paths[:: max(1, len(paths) // options.files)][: options.files]
    wrong, shifts = 0, []
    for path in paths:
        scores, shift = check(path)
        wrong += bool(np.argmax(scores) != 0)
        shifts.append(shift)
        runner_up = float(np.max(scores[1:]) / scores[0])
        print(
            f"{path.stem}\tbest transposition {np.argmax(scores)}\t"
            f"runner-up {runner_up:.2f}\tbest shift {shift * 1000:+.0f} ms"
        )
    print(
        f"{len(paths)} files, {wrong} fit better transposed, "
        f"median shift {np.median(shifts) * 1000:+.0f} ms"
    )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
