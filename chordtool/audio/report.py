"""What a recording turned out to be, for people who wonder."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from chordtool.audio.loading import load
from chordtool.errors import AudioError
from chordtool.printable import shown

_RATE: Final = 22_050


def report(path: Path) -> dict[str, Any]:
    """Decode a recording and tell what it is.

    Args:
        path: a file; ``-`` is standard input.

    Returns:
        JSON-ready; ``peak_dbfs`` is the level of the loudest sample of the mono mix in decibels
        relative to full scale, ``None`` for silence.

    Raises:
        AudioError: it cannot be decoded.
    """
    if path.is_dir():  # whatever is in it
        raise AudioError(
            f"{shown(path)} is a folder.",
            hint="Name one recording; chordtool transcribe takes folders.",
        )
    recording = load(path, _RATE)
    facts = recording.facts
    peak = float(np.abs(recording.samples).max(initial=0.0))
    return {
        "file": str(path),
        "seconds": round(recording.seconds, 3),
        "sample_rate": facts.sample_rate,
        "channels": facts.channels,
        "codec": facts.codec,
        "container": facts.container,
        "decoder": facts.decoder,
        "title": facts.title,
        "artist": facts.artist,
        "peak_dbfs": round(20 * math.log10(peak), 1) if peak > 0 else None,
    }
