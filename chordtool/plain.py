"""``chordtool transcribe SONG``, the call that most people make, without the command line's parser.

Importing the parser and telling it about the command takes a tenth of the time in which a song is
transcribed. Calls that say more than the name of a song are the parser's, and so are those whose
meaning a setting changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

from chordtool.threads import one_blas_thread

_COMMAND: Final = "transcribe"
_VARIABLES: Final = ("CHORDTOOL_TRANSCRIBE_", "_CHORDTOOL_COMPLETE")
"""What the names of variables that change the call's meaning begin with."""


def song_of(arguments: Sequence[str]) -> str | None:
    """The song, if the call is ``transcribe SONG`` and nothing else has a say in it."""
    if len(arguments) != 2 or arguments[0] != _COMMAND:
        return None
    song = arguments[1]
    if not song or song.startswith("-") or any(map(_has_a_say, os.environ)):
        return None
    return song if _no_settings_file() else None


def _has_a_say(variable: str) -> bool:
    return variable.upper().startswith(_VARIABLES)


def _no_settings_file() -> bool:
    from chordtool import settings

    if settings.CONFIG_ENV in os.environ:
        return not os.environ[settings.CONFIG_ENV]
    path = settings.config_path()
    assert path is not None, "the variable is not set"
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def transcribe(song: str) -> None:
    """Write the chords of a song to standard output, as the command does that has no options.

    Raises:
        ChordtoolError: as :func:`chordtool.transcribing.to_bytes`.
        BrokenPipeError: nobody reads them.
    """
    one_blas_thread()
    from chordtool.hearing import ahead

    # Decoding goes on while the rest of the program is imported.
    with ahead([song]) as begun:
        from chordtool import transcribing

        request = transcribing.Request(sources=(song,))
        sys.stdout.buffer.write(transcribing.to_bytes(request, sys.stdin.buffer, begun))
