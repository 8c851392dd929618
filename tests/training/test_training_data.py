from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from chordtool.corpus import Arrays, Corpus
from chordtool.corpus.compact import encode
from chordtool.corpus.recipe import with_spare
from chordtool.corpus.recording import write_recording
from chordtool.errors import CorpusError, TrainingError, UsageError
from chordtool.frontend import FrontEnd
from chordtool.training import slices
from chordtool.training.data import (
    Segments,
    Source,
    Track,
    feature_statistics,
    log_class_prior,
    spare_bins,
    transpose_posteriors,
)
from chordtool.training.prefetch import Prefetcher
from chordtool.training.sources import corpus_source, replayed, song_names, weights_for
from chordtool.training.split import split_songs
from chordtool.vocabulary import MASKED, N_CLASSES, transpose_class
from tests.training.made import config, make_corpus, memory_source


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("data") / "corpus")


# Splits


def test_the_split_is_by_song_and_by_seed() -> None:
    source = memory_source(20)
    first = split_songs([source], config()).songs()
    assert first == split_songs([source], config()).songs()
    assert first != split_songs([source], config(seed=43)).songs()
    assert [len(first[part]) for part in ("train", "validation", "test")] == [15, 5, 0]
    assert set(first["train"]).isdisjoint(first["validation"])


def test_versions_of_a_song_stay_together_over_sources() -> None:
    one, two = memory_source(10), memory_source(10)
    split = split_songs([one, two], config(test_share=0.2))
    for part in (split.train, split.validation, split.test):
        songs = [{t.song for t in source.tracks} for source in part]
        assert songs[0] == songs[1]


def test_replayed_songs_are_never_put_aside_and_never_leak() -> None:
    labelled = memory_source(8)
    replay = replace(memory_source(12), validates=False)
    split = split_songs([labelled, replay], config())
    assert len(split.validation) == 1
    held = {t.song for t in split.validation[0].tracks}
    assert held.isdisjoint(t.song for source in split.train for t in source.tracks)


def test_a_given_split_is_kept() -> None:
    split = split_songs([memory_source(5)], config(), {"validation": ["s3"], "test": ["s0"]})
    assert split.songs() == {"train": ["s1", "s2", "s4"], "validation": ["s3"], "test": ["s0"]}


@pytest.mark.parametrize(("n", "part"), [(0, "training"), (1, "training")])
def test_an_empty_split_is_one_sentence(n: int, part: str) -> None:
    with pytest.raises(TrainingError, match=f"The {part} split is empty") as caught:
        split_songs([memory_source(n)], config())
    assert caught.value.hint


def test_a_given_split_without_validation_is_one_sentence() -> None:
    with pytest.raises(TrainingError, match="The validation split is empty") as caught:
        split_songs([memory_source(5)], config(), {"validation": ["elsewhere"]})
    assert "split.json" in caught.value.hint


# Segments


def test_segments_tile_a_recording_and_short_tails_are_left_out() -> None:
    source = Source(
        "x", (Track("a", "a", Path("a"), 40), Track("b", "b", Path("b"), 5)), FrontEnd()
    )
    train = Segments([source], config(segment_frames=12, stride=12), FrontEnd())
    assert sorted(train.epoch(0).start[train.epoch(0).owner == 0].tolist()) == [0, 12, 24]
    assert len(train) == 4
    whole = Segments([source], config(segment_frames=12), FrontEnd(), training=False)
    assert whole.epoch(0).start.tolist() == [0, 12, 24, 36, 0]


def test_an_epoch_is_a_function_of_seed_and_number() -> None:
    segments = Segments([memory_source(10)], config(jitter_frames=5), FrontEnd())
    assert np.array_equal(segments.epoch(3).owner, segments.epoch(3).owner)
    assert np.array_equal(segments.epoch(3).start, segments.epoch(3).start)
    assert not np.array_equal(segments.epoch(3).owner, segments.epoch(4).owner)


def test_every_segment_is_seen_once_an_epoch() -> None:
    segments = Segments([memory_source(10)], config(), FrontEnd())
    plan = segments.epoch(0)
    assert len(set(zip(plan.owner.tolist(), plan.start.tolist(), strict=True))) == len(segments)


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 30), (0.5, 15), (2.5, 75)])
def test_a_weight_is_how_often_a_source_is_seen(weight: float, expected: int) -> None:
    segments = Segments([memory_source(10, weight=weight)], config(), FrontEnd())
    assert len(segments.epoch(0)) == expected


def test_an_epoch_can_be_a_part_drawn_anew() -> None:
    segments = Segments([memory_source(10)], config(epoch_segments=7), FrontEnd())
    assert len(segments.epoch(0)) == 7
    assert not np.array_equal(segments.epoch(0).owner, segments.epoch(1).owner)


def test_jitter_stays_inside_the_recording() -> None:
    segments = Segments([memory_source(10, frames=50)], config(jitter_frames=100), FrontEnd())
    start = segments.epoch(0).start
    assert start.min() >= 0
    assert start.max() <= 50 - 12


def test_replay_takes_its_share_of_an_epoch() -> None:
    labelled, other = memory_source(10), replace(memory_source(40), name="other")
    mixed = [labelled, *replayed([other], [labelled], 0.25, 12)]
    plan = Segments(mixed, config(), FrontEnd()).epoch(0)
    assert (plan.owner >= 10).mean() == pytest.approx(0.25, abs=0.05)


def test_replay_may_stay_as_it_is() -> None:
    labelled, other = memory_source(10), replace(memory_source(40), name="other")
    mixed = [labelled, *replayed([other], [labelled], 0.5, 12, augmented=False)]
    front_end = replace(FrontEnd(), fmin=FrontEnd().fmin / 2**0.5, n_bins=168)
    wide = [replace(source, front_end=front_end) for source in mixed]
    plan = Segments(wide, config(pitch_low=-5, pitch_high=6), FrontEnd()).epoch(0)
    assert set(plan.shift[plan.owner >= 10]) == {0}
    assert len(set(plan.shift[plan.owner < 10])) > 5
    assert (plan.augmented == (plan.owner < 10)).all()


def test_a_batch_holds_what_the_recording_holds(corpus: Path) -> None:
    source = corpus_source(corpus)
    segments = Segments([source], config(kd_alpha=0.5), FrontEnd())
    plan = segments.epoch(0)
    batch = segments.gather(plan, 2, 6)
    recordings = Corpus.open(corpus).recordings()
    for i, k in enumerate(range(2, 6)):
        recording, start = recordings[plan.owner[k]], plan.start[k]
        arrays = recording.load(start, start + 12)
        assert np.array_equal(batch.features[i, : len(arrays.features)], arrays.features)
        assert np.array_equal(batch.labels[i, : len(arrays.labels)], arrays.labels)
        assert batch.teacher is not None
        soft = np.exp(batch.teacher[i, : batch.lengths[i]])
        soft /= soft.sum(-1, keepdims=True)
        assert np.allclose(soft, recording.posteriors(start, start + 12), atol=1e-6)


def test_short_segments_are_padded_and_masked(corpus: Path) -> None:
    segments = Segments([corpus_source(corpus)], config(), FrontEnd(), training=False)
    plan = segments.epoch(0)
    last = int(np.flatnonzero(plan.start == 24)[0])
    batch = segments.gather(plan, last, last + 1)
    assert batch.lengths.tolist() == [6]
    assert (batch.labels[0, 6:] == MASKED).all()
    assert (batch.labels[0, :6] != MASKED).all()


def test_processes_share_a_batch_without_overlap(corpus: Path) -> None:
    segments = Segments([corpus_source(corpus)], config(), FrontEnd())
    plan = segments.epoch(0)
    whole = segments.gather(plan, 0, 8)
    parts = [segments.gather(plan, rank, 8, 2) for rank in range(2)]
    assert np.array_equal(whole.features[0::2], parts[0].features)
    assert np.array_equal(whole.features[1::2], parts[1].features)
    assert parts[1].index.tolist() == [1, 3, 5, 7]


# Pitch shift


def test_a_shifted_segment_is_the_recording_moved_with_its_labels(tmp_path: Path) -> None:
    wide = with_spare(FrontEnd(), 6)
    source = corpus_source(make_corpus(tmp_path / "c", frames=120, front_end=wide))
    setting = config(pitch_low=-5, pitch_high=6, kd_alpha=0.5)
    shifted = Segments([source], setting, FrontEnd())
    plan = shifted.epoch(0)
    assert set(plan.shift.tolist()) == set(range(-5, 7))
    batch = shifted.gather(plan, 0, len(plan))
    plain = shifted.gather(replace(plan, shift=0 * plan.shift), 0, len(plan))
    assert batch.teacher is not None
    assert plain.teacher is not None
    for i, shift in enumerate(plan.shift.tolist()):
        up, bins = 2 * shift, slice(max(0, 2 * shift), min(144, 144 + 2 * shift))
        unmoved = plain.features[i][:, bins.start - up : bins.stop - up]
        assert np.array_equal(batch.features[i][:, bins], unmoved)
        assert batch.levels[i] == pytest.approx(-shift * np.log(2) / 24)
        assert np.array_equal(batch.labels[i], transpose_class(plain.labels[i], shift))
        assert np.array_equal(
            batch.teacher[i].argmax(-1)[:6], transpose_class(plain.teacher[i].argmax(-1)[:6], shift)
        )


def test_shifting_without_spare_bins_is_one_sentence(corpus: Path) -> None:
    with pytest.raises(TrainingError, match="no spare bins"):
        Segments([corpus_source(corpus)], config(pitch_high=2), FrontEnd())


def test_posteriors_move_as_labels_do() -> None:
    posteriors = np.random.default_rng(0).random((5, 170))
    for semitones in (-5, 0, 6, 12):
        moved = transpose_posteriors(posteriors, semitones)
        classes = transpose_class(np.arange(170), semitones)
        assert np.array_equal(moved[:, classes], posteriors)


# Front ends


def test_spare_bins_are_counted_on_both_sides() -> None:
    assert spare_bins(with_spare(FrontEnd(), 6), FrontEnd()) == (12, 12)
    assert spare_bins(FrontEnd(mean=3.0), FrontEnd()) == (0, 0)


@pytest.mark.parametrize(
    "stored",
    [FrontEnd(hop_length=1024), FrontEnd(n_bins=84), FrontEnd(chunk_samples=220_500),
     FrontEnd(fmin=30.0), FrontEnd(sample_rate=44_100), FrontEnd(log_offset=0.0)],
)  # fmt: skip
def test_front_ends_that_differ_are_one_sentence(stored: FrontEnd) -> None:
    with pytest.raises(TrainingError, match="front end of the student differ") as caught:
        spare_bins(stored, FrontEnd())
    assert "144 bins" in caught.value.hint


def test_statistics_are_those_of_all_features(corpus: Path) -> None:
    source = corpus_source(corpus)
    mean, std = feature_statistics([source], FrontEnd())
    values = np.concatenate([r.load().features for r in Corpus.open(corpus).recordings()])
    assert mean == pytest.approx(values.astype(np.float64).mean(), rel=1e-6)
    assert std == pytest.approx(values.astype(np.float64).std(), rel=1e-5)


def test_the_prior_counts_labels_over_all_roots(corpus: Path) -> None:
    prior = np.exp(log_class_prior([corpus_source(corpus)]))
    labels = np.concatenate([r.load().labels for r in Corpus.open(corpus).recordings()])
    # Made-up corpora hold major and minor chords only.
    majors, minors = (labels % 14 == 1).sum(), (labels % 14 == 0).sum()
    assert prior[:168:14] / prior[1:168:14] == pytest.approx(minors / majors, rel=1e-4)
    assert prior[2:168:14] == pytest.approx(prior[2], rel=1e-4)
    assert prior[2] < prior[0]


# Sources


def test_a_folder_that_is_no_corpus_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        corpus_source(tmp_path)


def test_songs_are_named_by_stem_folder_or_pattern() -> None:
    paths = [Path("a/01.mp3"), Path("b/01.mp3"), Path("c/hey.mp3")]
    assert song_names(paths, None) == ["a/01", "b/01", "hey"]
    versions = [Path("x/012-piano.wav"), Path("x/012-band.wav"), Path("x/odd.wav")]
    assert song_names(versions, r"^(\d+)-") == ["012", "012", "odd"]
    with pytest.raises(UsageError, match="regular expression"):
        song_names(versions, "(")


def test_weights_are_one_a_source() -> None:
    assert weights_for(("a", "b"), (0.5,)) == (0.5, 1.0)
    for bad in ((1.0, 1.0, 1.0), (0.0,), (float("nan"),)):
        with pytest.raises(UsageError, match="weight"):
            weights_for(("a", "b"), bad)


def test_the_fingerprint_follows_the_content_and_not_the_path(tmp_path: Path) -> None:
    def fingerprint(folder: Path, seed: int) -> str:
        source = corpus_source(make_corpus(folder, n=2, seed=seed))
        return Segments([source], config(), FrontEnd()).fingerprint()

    assert fingerprint(tmp_path / "a", 0) == fingerprint(tmp_path / "b", 0)
    assert fingerprint(tmp_path / "a", 0) != fingerprint(tmp_path / "c", 1)


# Broken files


@pytest.mark.parametrize("kept", [0, 4, 100, 600])
def test_a_truncated_recording_is_one_sentence(tmp_path: Path, kept: int) -> None:
    source = corpus_source(make_corpus(tmp_path / "c", n=1))
    path = source.tracks[0].path
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TrainingError, match="cannot be read"):
        slices.rows(path, ("features",), 0, 5)


@pytest.mark.parametrize(
    "header",
    [b"[]", b'{"features": 3}', b'{"features": {"dtype": "F16", "shape": [-5, -144], '
     b'"data_offsets": [0, 1440]}}', b'{"features": {"dtype": "F16", "shape": [1000000, 144], '
     b'"data_offsets": [0, 288000000]}}', b'{"features": {"dtype": "O", "shape": [1], '
     b'"data_offsets": [0, 1]}}', b"{" * 50_000,
     b'{"features": {"dtype": "F16", "shape": [1e999], "data_offsets": [0, 2]}}'],
)  # fmt: skip
def test_a_lying_header_is_one_sentence(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 2000)
    with pytest.raises(TrainingError, match="cannot be read"):
        slices.rows(path, ("features",), 0, 1)


def test_an_error_while_reading_ahead_reaches_the_loop() -> None:
    def fails() -> None:
        raise TrainingError("gone")

    with Prefetcher(iter([fails])) as loader, pytest.raises(TrainingError, match="gone"):
        list(loader)  # type: ignore[arg-type]


def test_reading_ahead_ends_with_its_context(corpus: Path) -> None:
    segments = Segments([corpus_source(corpus)], config(), FrontEnd())
    plan = segments.epoch(0)
    with Prefetcher(lambda k=k: segments.gather(plan, k, k + 1) for k in range(20)) as loader:
        first = next(iter(loader))
    assert first.index.tolist() == [0]
    assert not loader._thread.is_alive()


def test_memory_for_a_recording_does_not_grow_with_its_length() -> None:
    """What is kept is where segments begin: 24 bytes each, whatever a frame holds."""
    tracemalloc.start()
    source = memory_source(200, frames=108_000)
    before = tracemalloc.get_traced_memory()[0]
    segments = Segments([source], config(segment_frames=108, stride=108), FrontEnd())
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(segments) == 200_000
    assert kept < 30 * len(segments)


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


def test_recordings_without_music_are_left_out(tmp_path: Path) -> None:
    folder = make_corpus(tmp_path / "c", n=2, statistics={"content": "silence"})
    with pytest.raises(TrainingError, match="no labelled music"):
        corpus_source(folder)
