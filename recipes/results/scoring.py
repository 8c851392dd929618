"""Scores of the rows on the test songs, by the program's own evaluation.

Students and the teachers' average are scored from the features and posteriors of the test songs'
corpus, which is what they would compute from the audio, rounded to float16 and to 0.1 nats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chordtool.corpus import Corpus, CorpusRecording
from chordtool.decoding import Decoding, decode
from chordtool.evaluation import Scores, evaluate
from chordtool.evaluation.folders import Request, evaluate_folders
from chordtool.models.onnx import OnnxModel
from chordtool.segments import Segment
from chordtool.training.data import spare_bins
from chordtool.vocabulary import LARGE
from recipes.results.material import by_stem

References = Mapping[str, tuple[Segment, ...]]


def score_student(model: Path, corpus: Corpus, references: References) -> Scores:
    """Scores of an exported student."""
    student = OnnxModel.from_file(model)
    front_end = student.card.front_end
    low, _ = spare_bins(corpus.front_end, front_end)

    def logits(recording: CorpusRecording) -> NDArray[np.float32]:
        features = recording.load().features[:, low : low + front_end.n_bins]
        return student.logits(features.astype(np.float32))

    return _score(logits, corpus, references, student.card.decoding)


def score_average(corpus: Corpus, references: References) -> Scores:
    """Scores of the teachers of a corpus, averaged as its labels are."""

    def logits(recording: CorpusRecording) -> NDArray[np.float32]:
        posteriors: NDArray[np.float32] = np.log(np.maximum(recording.posteriors(), 1e-12))
        return posteriors

    return _score(logits, corpus, references, Decoding())


def score_teacher(name: str, labels: Path, audio: Path, jobs: int) -> Scores:
    """Scores of one teacher, from the audio."""
    found = evaluate_folders(Request(labels, models=(name,), audio=audio, n_jobs=jobs))
    return found.comparison.systems[found.comparison.baseline]


def _score(
    logits: Callable[[CorpusRecording], NDArray[np.float32]],
    corpus: Corpus,
    references: References,
    decoding: Decoding,
) -> Scores:
    recordings = by_stem(corpus)
    estimates = {}
    for name in references:
        recording = recordings[name]
        answers = logits(recording)
        edges = corpus.front_end.frame_edges(len(answers), recording.seconds)
        estimates[name] = decode(answers, edges, LARGE, decoding, top=0)
    return evaluate(references, estimates)
