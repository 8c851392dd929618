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
    run()


if __name__ == "__main__":
    main()
