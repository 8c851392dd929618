from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chordtool.corpus import Arrays, Corpus
from chordtool.corpus.compact import encode
from chordtool.corpus.recording import write_recording
from chordtool.errors import CorpusError, TrainingError, UsageError
from chordtool.frontend import FrontEnd
from chordtool.training import slices
from chordtool.training.data import Segments
from chordtool.training.sources import corpus_source, read_codes, weights_for
from chordtool.vocabulary import MASKED, N_CLASSES
from tests.training.made import config, make_corpus


def test_a_folder_that_is_no_corpus_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        corpus_source(tmp_path)


def test_weights_are_one_a_source() -> None:
    assert weights_for(("a", "b"), (0.5,)) == (0.5, 1.0)
    for bad in ((1.0, 1.0, 1.0), (0.0,), (float("nan"),)):
        with pytest.raises(UsageError, match="weight"):
            weights_for(("a", "b"), bad)


def test_recordings_count_by_how_far_their_teachers_agree(tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "c", n=2, statistics={"agreement": 0.25})
    assert [t.weight for t in corpus_source(folder).tracks] == [1.0, 1.0]
    weighed = corpus_source(folder, weigh_by_agreement=True)
    assert [t.weight for t in weighed.tracks] == [0.25, 0.25]
    segments = Segments([weighed], config(), FrontEnd())
    assert (segments.gather(segments.epoch(0), 0, 4).weights == 0.25).all()


def _rewritten(corpus: Path, labels: NDArray[np.int16], logits: NDArray[np.float32]) -> None:
    """The corpus's one recording with other labels and posteriors."""
    (recording,) = Corpus.open(corpus).recordings()
    there = recording.open()
    content = Arrays(there.load().features, labels, encode(logits))
    write_recording(recording.path, content, there.metadata)
    slices.forget()


def test_the_teachers_path_may_be_learnt(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "c", n=1, frames=30)
    logits = np.zeros((30, N_CLASSES), np.float32)
    logits[:15, 1], logits[15:, 71] = 4.0, 4.0
    logits[5, 98] = 6.0  # A chord of one frame, by two nats the best there.
    labels = logits.argmax(axis=1).astype(np.int16)
    labels[20:22] = MASKED
    _rewritten(corpus, labels, logits)
    alone = corpus_source(corpus, path_cost=1.5)
    assert alone.tracks[0].labels is not None
    # A chord for one frame costs two changes.
    assert alone.tracks[0].labels.tolist() == [1] * 15 + [71] * 5 + [MASKED] * 2 + [71] * 8
    cheap = corpus_source(corpus, path_cost=0.5)
    assert np.array_equal(cheap.tracks[0].labels, labels)
    as_it_is = corpus_source(corpus)
    assert as_it_is.tracks[0].labels is None
    whole = config(segment_frames=30, stride=30)
    for source, chord in ((alone, 1), (cheap, 98), (as_it_is, 98)):
        segments = Segments([source], whole, FrontEnd(), training=False)
        assert segments.gather(segments.epoch(0), 0, 1).labels[0, 5] == chord


def test_posteriors_are_read_in_the_steps_that_they_were_written_in(tmp_path: Path) -> None:
    (recording,) = Corpus.open(make_corpus(tmp_path / "c", n=1)).recordings()
    there, content = recording.open(), recording.load()
    write_recording(recording.path, content, replace(there.metadata, posterior_step=0.25))
    slices.forget()
    logits = read_codes(recording.path, 3, 9)
    assert np.array_equal(logits, content.codes[3:9] * np.float32(-0.25))


def test_recordings_without_music_are_left_out(tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "c", n=2, statistics={"content": "silence"})
    with pytest.raises(TrainingError, match="no labelled music"):
        corpus_source(folder)
