"""chordtool: automatic chord recognition from audio.

>>> import chordtool
>>> song = chordtool.transcribe("song.mp3")           # doctest: +SKIP
>>> [(s.start, s.end, s.label) for s in song.segments]  # doctest: +SKIP
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take the name for true, whatever it is set to
if TYPE_CHECKING:
    from typing import Any

    from chordtool.decoding import Decoding
    from chordtool.errors import ChordtoolError
    from chordtool.frontend import FrontEnd
    from chordtool.models import Model, ModelCard, load_model
    from chordtool.segments import Alternative, Segment, Transcription
    from chordtool.transcriber import Transcriber, transcribe

__all__ = [
    "Alternative",
    "ChordtoolError",
    "Decoding",
    "FrontEnd",
    "Model",
    "ModelCard",
    "Segment",
    "Transcriber",
    "Transcription",
    "load_model",
    "transcribe",
]

_HOMES = {
    "Alternative": "chordtool.segments",
    "ChordtoolError": "chordtool.errors",
    "Decoding": "chordtool.decoding",
    "FrontEnd": "chordtool.frontend",
    "Model": "chordtool.models",
    "ModelCard": "chordtool.models",
    "Segment": "chordtool.segments",
    "Transcriber": "chordtool.transcriber",
    "Transcription": "chordtool.segments",
    "load_model": "chordtool.models",
    "transcribe": "chordtool.transcriber",
}


def __getattr__(name: str) -> Any:
    # The console script imports this package before it can ask for one BLAS thread, and before
    # it can catch Ctrl-C. So nothing here imports anything before it is asked for.
    from importlib import import_module

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'chordtool' has no attribute {name!r}")
    return getattr(import_module(home), name)
