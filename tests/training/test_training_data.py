from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chordtool.corpus import Corpus
from chordtool.corpus.recipe import with_spare
from chordtool.errors import TrainingError
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
from chordtool.training.sources import (
    corpus_source,
    replayed,
)
from chordtool.vocabulary import MASKED, transpose_class
from tests.training.made import config, make_corpus, memory_source


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("data") / "corpus")


# Segments


def test_segments_tile_a_recording_and_short_tails_are_left_out() -> None:
    source = Source(
        "x", (Track("a", "a", Path("a"), 40), Track("b", "b", Path("b"), 5)), FrontEnd()
    )
    train = Segments([source], config(segment_frames=12, stride=12), FrontEnd())
    assert sorted(train.epoch(0).start[train.epoch(0).owner == 0].tolist()) == [0, 12, 24]
    assert len(train) == 4
    whole = Segments([source], config(segment_frames=12, stride=6), FrontEnd(), training=False)
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


def test_what_is_seen_in_one_epoch_of_two_is_drawn_anew() -> None:
    segments = Segments([memory_source(10, weight=0.5)], config(), FrontEnd())
    seen = [
        set(zip(plan.owner.tolist(), plan.start.tolist(), strict=True))
        for plan in map(segments.epoch, range(20))
    ]
    assert {len(part) for part in seen} == {15}
    assert len(set.union(*seen)) == 30


def test_an_epoch_can_be_a_part_drawn_anew() -> None:
    segments = Segments([memory_source(10)], config(epoch_segments=7), FrontEnd())
    assert len(segments.epoch(0)) == 7
    assert not np.array_equal(segments.epoch(0).owner, segments.epoch(1).owner)


def test_jitter_stays_inside_the_recording() -> None:
    segments = Segments([memory_source(10, frames=50)], config(jitter_frames=100), FrontEnd())
    start = segments.epoch(0).start
    assert start.min() >= 0
    assert start.max() <= 50 - 12


def test_jitter_leaves_the_end_of_a_recording_in_the_epoch() -> None:
    """The last segment, of eight frames and padding, moves no further than where it begins."""
    segments = Segments([memory_source(50, frames=44)], config(jitter_frames=2), FrontEnd())
    last = segments.epoch(0).start
    assert set(last[last > 30].tolist()) == {34, 35, 36}


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_replay_takes_its_share_of_an_epoch(weight: float) -> None:
    labelled = memory_source(10, weight=weight)
    other = replace(memory_source(40), name="other")
    mixed = [labelled, *replayed([other], [labelled], 0.25, 12)]
    plan = Segments(mixed, config(), FrontEnd()).epoch(0)
    assert (plan.owner >= 10).mean() == pytest.approx(0.25, abs=0.01)


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


def test_the_prior_counts_recordings_as_they_are_seen_and_weighed() -> None:
    minor, major = (np.full(1200, chord, np.int16) for chord in (0, 1))
    one, two = memory_source(2, frames=1200).tracks
    tracks = (replace(one, labels=minor, weight=0.5), replace(two, labels=major))
    often = memory_source(1, frames=1200, weight=3.0)
    seen = replace(often, tracks=(replace(often.tracks[0], labels=minor),))
    once = replace(often, tracks=tracks, weight=1.0)
    prior = np.exp(log_class_prior([once, seen]))
    assert prior[0] / prior[1] == pytest.approx(0.5 + 3.0, rel=1e-5)


def test_the_fingerprint_follows_the_content_and_not_the_path(tmp_path: Path) -> None:
    def fingerprint(folder: Path, seed: int) -> str:
        source = corpus_source(make_corpus(folder, n=2, seed=seed))
        return Segments([source], config(), FrontEnd()).fingerprint()

    assert fingerprint(tmp_path / "a", 0) == fingerprint(tmp_path / "b", 0)
    assert fingerprint(tmp_path / "a", 0) != fingerprint(tmp_path / "c", 1)


def test_the_fingerprint_follows_labels_that_lie_elsewhere() -> None:
    def fingerprint(chord: int) -> str:
        source = memory_source(2)
        tracks = tuple(replace(t, labels=np.full(40, chord, np.int16)) for t in source.tracks)
        return Segments([replace(source, tracks=tracks)], config(), FrontEnd()).fingerprint()

    assert fingerprint(1) == fingerprint(1)
    assert fingerprint(1) != fingerprint(2)


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
