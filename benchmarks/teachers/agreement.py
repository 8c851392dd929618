"""How far the teachers agree with what the packages they come from answer.

    CHORDTOOL_MODELS=../shared/teachers python benchmarks/teachers/agreement.py ../shared

Prints, for each recording with a golden transcription, the share of the time on which both say
the same major or minor chord.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from golden_labels import GOLDEN, majmin_agreement  # noqa: E402

from chordtool.models import load_model  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path, help="folder with the recordings and transcriptions")
    shared = parser.parse_args().shared
    for name in ("lv", "crema"):
        model = load_model(name)
        for recording in GOLDEN:
            print(f"{name:6} {recording:45} {majmin_agreement(model, shared, recording):.4f}")


if __name__ == "__main__":
    main()
