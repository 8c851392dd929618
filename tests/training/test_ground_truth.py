from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool.constantq import log_cqt
from chordtool.corpus.ensemble import Ensemble
from chordtool.corpus.recipe import with_spare
from chordtool.errors import TrainingError, UsageError
from chordtool.frontend import BTC_FRONT_END, FrontEnd
from chordtool.models import ModelCard
from chordtool.segments import Segment
from chordtool.training import slices
from chordtool.training.data import Segments
from chordtool.training.ground_truth import (
    Cache,
    label_frames,
    labelled_source,
    match,
    read_labels,
    summary,
    teacher_posteriors,
)
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import MASKED, N_INDEX, X_INDEX, class_of
from tests.training.made import chord_sound, config, make_songs, write_song


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_songs(tmp_path_factory.mktemp("gt") / "songs", n=3)


class ToyTeacher(Ensemble):
    """A projection of a coarser constant-Q, alone; counts how often it is asked."""

    def __init__(self) -> None:
        self.card = ModelCard("toy", "toy", FrontEnd(hop_length=4096))
        self._models, self._weights, self._average = [self], [1.0], "geometric"
        self.projection = np.random.default_rng(0).normal(0, 0.1, (144, 170)).astype(np.float32)
        self.calls = 0

    def features(self, samples: Samples) -> Features:
        return log_cqt(samples, self.card.front_end)

    def logits(self, features: Features) -> Logits:
        self.calls += 1
        return features @ self.projection


# Labels


def test_a_frame_takes_the_label_at_its_time() -> None:
    song = (Segment(0.0, 1.0, "C"), Segment(1.0, 2.0, "A:min7"))
    labels = label_frames(song, FrontEnd(), 25)
    times = FrontEnd().frame_times(25)
    for label, time in zip(labels, times, strict=True):
        expected = class_of("C") if time < 1 else class_of("A:min7") if time < 2 else MASKED
        assert label == expected


def test_frames_of_a_chunked_front_end_are_labelled_in_their_middle() -> None:
    song = (Segment(0.0, 0.13, "C"), Segment(0.13, 1.0, "D"))
    labels = label_frames(song, BTC_FRONT_END, 3)
    # Their middles lie at 0.046, 0.139 and 0.231 s.
    assert labels.tolist() == [class_of("C"), class_of("D"), class_of("D")]


def test_what_the_vocabulary_cannot_say_and_what_nobody_labelled_is_apart() -> None:
    song = (Segment(0.0, 0.5, "N"), Segment(0.5, 1.0, "C:5"), Segment(1.5, 2.0, "C"))
    labels = label_frames(song, FrontEnd(), 22)
    assert labels[0] == N_INDEX
    assert labels[8] == X_INDEX
    assert labels[12] == MASKED
    assert labels[18] == class_of("C")


def test_what_comes_before_the_first_label_is_masked() -> None:
    song = (Segment(1.0, 2.0, "C"), Segment(2.0, 3.0, "G"))
    labels = label_frames(song, FrontEnd(), 30)
    before = FrontEnd().frame_times(30) < 1.0
    assert before.sum() == 11
    assert (labels[before] == MASKED).all()
    assert labels[11] == class_of("C")


def test_no_labels_are_all_masked() -> None:
    assert (label_frames((), FrontEnd(), 5) == MASKED).all()


@pytest.mark.parametrize(
    ("text", "why"),
    [("0 2 C\n1 3 D\n", "overlaps"), ("2 1 C\n", "backwards"), ("0 1 H:maj\n", "not a chord"),
     ("0 1\n", "start end label"), ("nan 1 C\n", "not between"), ("", "label nothing"),
     ("2 2 C\n", "label nothing")],
)  # fmt: skip
def test_broken_labels_are_one_sentence_that_names_the_file(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "song.lab").write_text(text)
    with pytest.raises(TrainingError, match=r"song\.lab") as caught:
        read_labels(tmp_path / "song.lab")
    assert why in caught.value.message
    assert caught.value.hint


# Matching


def test_labels_and_audio_match_by_name(tmp_path: Path, songs: Path) -> None:
    found = match(songs)
    assert [(a.name, b.name) for a, b in found.pairs] == [
        (f"song-{k}.lab", f"song-{k}.wav") for k in range(3)
    ]
    labels = tmp_path / "labels"
    labels.mkdir()
    for file in songs.glob("*.lab"):
        (labels / file.name).write_text(file.read_text())
    assert len(match(labels, songs).pairs) == 3


def test_the_same_path_wins_over_the_same_stem(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for root in ("labels", "audio"):
            (tmp_path / root / name).mkdir(parents=True)
        (tmp_path / "labels" / name / "1.lab").write_text("0 1 C\n")
        (tmp_path / "audio" / name / "1.wav").write_bytes(b"")
    pairs = match(tmp_path / "labels", tmp_path / "audio").pairs
    assert [(lab.parent.name, wav.parent.name) for lab, wav in pairs] == [("a", "a"), ("b", "b")]


def test_what_did_not_match_is_told(tmp_path: Path) -> None:
    make_songs(tmp_path / "s", n=2, seconds=0.2)
    (tmp_path / "s" / "lonely.lab").write_text("0 1 C\n")
    soundfile.write(tmp_path / "s" / "unlabelled.wav", np.zeros(100), 22_050)
    found = match(tmp_path / "s")
    assert len(found.pairs) == 2
    lines = summary([found], {Path("bad.wav"): "It is broken."})
    assert any("1 label files have no audio" in line and "lonely.lab" in line for line in lines)
    assert any("1 recordings have no labels" in line and "unlabelled" in line for line in lines)
    assert "bad.wav: It is broken." in lines


def test_labels_without_any_audio_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.lab").write_text("0 1 C\n")
    with pytest.raises(TrainingError, match="None of the 1 label files") as caught:
        match(tmp_path)
    assert "--audio" in caught.value.hint


@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_without_labels_is_one_sentence(tmp_path: Path, exists: bool) -> None:
    folder = tmp_path if exists else tmp_path / "none"
    with pytest.raises(UsageError) as caught:
        match(folder)
    assert caught.value.hint


# The cache


def test_features_are_computed_once(tmp_path: Path, songs: Path) -> None:
    cache = Cache(tmp_path)
    first, frames, seconds = cache.features(songs / "song-0.wav", "ab" * 32, FrontEnd())
    written = first.stat().st_mtime_ns
    again = cache.features(songs / "song-0.wav", "ab" * 32, FrontEnd())
    assert again == (first, frames, seconds)
    assert first.stat().st_mtime_ns == written
    (stored,) = slices.rows(first, ("features",), 0, frames)
    samples, _ = soundfile.read(songs / "song-0.wav", dtype="float32")
    assert np.allclose(stored, log_cqt(samples, FrontEnd()), atol=0.01)
    assert seconds == pytest.approx(4.0)


def test_a_damaged_cache_is_computed_anew(tmp_path: Path, songs: Path) -> None:
    cache = Cache(tmp_path)
    path, frames, _ = cache.features(songs / "song-0.wav", "ab" * 32, FrontEnd())
    path.write_bytes(b"\0" * 20)
    slices.forget()
    again, n, _ = cache.features(songs / "song-0.wav", "ab" * 32, FrontEnd())
    assert (again, n) == (path, frames)
    assert len(slices.rows(path, ("features",), 0, n)[0]) == frames


def test_a_single_bit_of_the_cache_is_noticed(tmp_path: Path, songs: Path) -> None:
    song, cache = songs / "song-0.wav", Cache(tmp_path)
    target, frames, seconds = cache.features(song, "ab" * 32, FrontEnd())
    good = target.read_bytes()
    for at in (good.index(b"seconds") + 11, len(good) // 2, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1
        target.write_bytes(bad)
        slices.forget()
        assert cache.features(song, "ab" * 32, FrontEnd()) == (target, frames, seconds)
        assert target.read_bytes() == good


def test_another_front_end_is_another_file(tmp_path: Path, songs: Path) -> None:
    cache = Cache(tmp_path)
    one, *_ = cache.features(songs / "song-0.wav", "ab" * 32, FrontEnd())
    two, *_ = cache.features(songs / "song-0.wav", "ab" * 32, with_spare(FrontEnd(), 6))
    assert one != two


def test_cached_posteriors_are_those_of_the_teacher(tmp_path: Path, songs: Path) -> None:
    teacher = ToyTeacher()
    source, failed = labelled_source(
        match(songs), Cache(tmp_path), FrontEnd(), name="songs",
        teachers=lambda: teacher, teachers_id="toy-1",
    )  # fmt: skip
    assert not failed
    assert teacher.calls == 3
    segments = Segments([source], config(kd_alpha=0.3), FrontEnd())
    plan = segments.epoch(0)
    batch = segments.gather(plan, 0, len(plan))
    assert batch.teacher is not None
    assert batch.has_teacher.all()
    for i in range(len(plan)):
        track = source.tracks[plan.owner[i]]
        online = teacher_posteriors(teacher, Path(track.key), FrontEnd(), track.n_frames, 4.0)
        start, n = plan.start[i], batch.lengths[i]
        assert np.array_equal(batch.teacher[i, :n], online[start : start + n].astype(np.float32))


def test_stored_posteriors_lose_next_to_nothing(songs: Path) -> None:
    teacher = ToyTeacher()
    samples, _ = soundfile.read(songs / "song-0.wav", dtype="float32")
    logits = teacher.logits(teacher.features(samples)).astype(np.float64)
    exact = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    # At the teacher's own frames nothing is resampled.
    stored = teacher_posteriors(
        teacher, songs / "song-0.wav", teacher.card.front_end, len(logits), 4.0
    )
    above_floor = exact > -45
    assert np.abs(stored - exact)[above_floor].max() < 0.016


def test_a_teacher_is_asked_once_for_each_recording(tmp_path: Path, songs: Path) -> None:
    teacher = ToyTeacher()
    for _ in range(2):
        labelled_source(
            match(songs), Cache(tmp_path), FrontEnd(), name="songs",
            teachers=lambda: teacher, teachers_id="toy-1",
        )  # fmt: skip
    assert teacher.calls == 3


def test_a_recording_that_cannot_be_decoded_is_left_out_and_told(tmp_path: Path) -> None:
    make_songs(tmp_path / "s", n=2, seconds=0.5)
    (tmp_path / "s" / "song-1.wav").write_bytes(b"no audio at all")
    source, failed = labelled_source(
        match(tmp_path / "s"), Cache(tmp_path / "c"), FrontEnd(), name="s"
    )
    assert [Path(t.key).name for t in source.tracks] == ["song-0.wav"]
    assert [p.name for p in failed] == ["song-1.wav"]


def test_a_recording_that_is_gone_meanwhile_is_left_out_and_told(tmp_path: Path) -> None:
    make_songs(tmp_path / "s", n=2, seconds=0.5)
    found = match(tmp_path / "s")
    (tmp_path / "s" / "song-1.wav").unlink()
    _, failed = labelled_source(found, Cache(tmp_path / "c"), FrontEnd(), name="s")
    assert [p.name for p in failed] == ["song-1.wav"]


def test_no_recording_that_can_be_decoded_is_one_sentence(tmp_path: Path) -> None:
    make_songs(tmp_path / "s", n=1, seconds=0.5)
    (tmp_path / "s" / "song-0.wav").write_bytes(b"no audio at all")
    with pytest.raises(TrainingError, match="can be decoded"):
        labelled_source(match(tmp_path / "s"), Cache(tmp_path / "c"), FrontEnd(), name="s")


# Exact pitch shift


@pytest.mark.parametrize("semitones", [-5, 3, 6])
def test_sliding_bins_is_what_playing_higher_sounds_like(semitones: int) -> None:
    """A song played k semitones higher has the constant-Q of the original, k semitones of bins
    further up, because the bins are spaced alike."""
    wide = with_spare(FrontEnd(), 6)
    low = 12
    # Octaves only: other harmonics beat with the chord's tones, faster where it is higher.
    original = log_cqt(chord_sound(1, 3.0, 0.0, (1, 2, 4)), wide)
    played = log_cqt(chord_sound(1, 3.0, semitones, (1, 2, 4)), FrontEnd())
    slid = original[:, low - 2 * semitones : low - 2 * semitones + 144]
    slid = slid - semitones * math.log(2) / 24
    inner = slice(8, -8)
    # Compared where there is sound: 20 dB below the loudest bin and up.
    loud = played[inner] > played[inner].max() - 2.3
    errors = np.abs(slid[inner] - played[inner])[loud]
    assert np.median(errors) < 0.005
    assert np.percentile(errors, 99) < 0.05


def test_spare_bins_leave_the_others_as_they_are() -> None:
    wide = with_spare(FrontEnd(), 6)
    samples = chord_sound(71, 3.0)
    middle = log_cqt(samples, wide)[:, 12:156]
    own = log_cqt(samples, FrontEnd())
    loud = own > own.max() - 2.3
    errors = np.abs(middle - own)[loud]
    assert np.median(errors) < 0.005
    assert np.percentile(errors, 99) < 0.05


def test_labels_and_sound_agree_in_time(tmp_path: Path) -> None:
    """The label changes at the frame where the sound does."""
    write_song(tmp_path / "song", [1, 85], 4.0)  # C, then F# major
    source, _ = labelled_source(match(tmp_path), Cache(tmp_path / "c"), FrontEnd(), name="s")
    track = source.tracks[0]
    assert track.labels is not None
    (features,) = slices.rows(track.path, ("features",), 0, track.n_frames)
    c = features[:, 48::24].astype(np.float32).mean(1)
    f_sharp = features[:, 60::24].astype(np.float32).mean(1)
    heard = int(np.argmax(f_sharp > c))
    written = int(np.argmax(track.labels == 85))
    assert abs(heard - written) <= 1
