"""``python -m chordtool``."""

from chordtool.cli import main

if __name__ == "__main__":
    main()
