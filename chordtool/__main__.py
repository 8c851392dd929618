"""The program's door: ``python -m chordtool``, and the console script."""

import gc
import sys

_OBJECTS = 50_000


def main() -> None:
    """Run the program; an interruption while it is still being imported is one, too."""
    # What is imported stays. Looking through it for garbage every few hundred objects, as is
    # usual, takes a thirtieth of the time in which a song is transcribed.
    gc.set_threshold(_OBJECTS, *gc.get_threshold()[1:])
    try:
        from chordtool.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted.\n")
        sys.exit(130)
    try:
        run()
    except SystemExit as end:
        _leave(end.code)
        raise


def _leave(status: object) -> None:
    """End the process without taking the interpreter apart, if nothing else depends on that.

    All that was imported would be taken down piece by piece, for a twentieth of the time in which
    a song is transcribed. What asked to be called at the end is called. Threads are waited for,
    and profilers and debuggers get their turn, as usual.
    """
    import atexit
    import os
    import threading

    watched = sys.gettrace() is not None or sys.getprofile() is not None
    if not isinstance(status, int) or watched or threading.active_count() > 1:
        return
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except (OSError, ValueError):  # the interpreter knows what to say
        return
    os._exit(status)


if __name__ == "__main__":
    main()
