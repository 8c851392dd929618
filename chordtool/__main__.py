"""The program's door: ``python -m chordtool``, and the console script."""

import sys


def main() -> None:
    """Run the program; an interruption while it is still being imported is one, too."""
    try:
        from chordtool.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: Interrupted.\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
