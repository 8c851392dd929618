"""Audio in: any file or stream to mono samples at the rate that a front end wants.

:func:`load` decodes, :func:`find_audio` finds what there is to decode. wav, flac, mp3 and ogg
go through libsndfile; opus, everything else, and what libsndfile rejects, through FFmpeg's
libraries (PyAV), which are imported only when they are needed.
"""

from __future__ import annotations

from chordtool.audio.finding import AUDIO_SUFFIXES, find_audio
from chordtool.audio.loading import Audio, load
from chordtool.audio.mono import Limits, SourceFacts

__all__ = ["AUDIO_SUFFIXES", "Audio", "Limits", "SourceFacts", "find_audio", "load"]
