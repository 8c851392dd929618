"""How far a model agrees with itself when recordings sound a semitone higher, and so faster.

    CHORDTOOL_MODELS=../shared/teachers python benchmarks/teachers/transposed.py lv music/

Its chords of the recordings as they are count as the truth, and those of the others, moved back,
as the estimates. Who learns from the model in all keys can hardly come much nearer to it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from chordtool.audio import load
from chordtool.audio.finding import find_audio
from chordtool.evaluation import evaluate
from chordtool.segments import Segment
from chordtool.transcriber import Transcriber
from chordtool.vocabulary import transpose

SEMITONES = 1


def _heard(transcriber: Transcriber, path: Path, semitones: int) -> tuple[Segment, ...]:
    """The chords of a recording that is played higher, on the time and pitch of the original."""
    faster = 2 ** (semitones / 12)
    wanted = transcriber.model.card.front_end.sample_rate
    # Samples for another rate, which nobody is told of: that is a tape that runs faster.
    samples = load(path, round(wanted / faster)).samples
    found = transcriber.transcribe_samples(samples).segments
    return tuple(
        replace(
            segment,
            start=segment.start * faster,
            end=segment.end * faster,
            label=transpose(segment.label, -semitones),
            alternatives=(),
        )
        for segment in found
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="its name or file")
    parser.add_argument("folder", help="the recordings")
    arguments = parser.parse_args()
    transcriber = Transcriber(arguments.model)
    as_it_is, higher = {}, {}
    for path in find_audio([arguments.folder]):
        as_it_is[path.name] = _heard(transcriber, path, 0)
        higher[path.name] = _heard(transcriber, path, SEMITONES)
        print(path.name, file=sys.stderr)
    scores = evaluate(as_it_is, higher)
    for metric in ("root", "majmin", "sevenths", "tetrads"):
        print(f"{metric:10} {100 * scores[metric].value:.1f}")


if __name__ == "__main__":
    main()
