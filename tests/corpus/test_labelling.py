from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from chordtool import audio
from chordtool.audio.signals import open_signals
from chordtool.constantq import log_cqt
from chordtool.corpus import labelling
from chordtool.corpus.ensemble import Ensemble, average
from chordtool.corpus.folder import recording_path
from chordtool.corpus.labelling import Job, Outcome, compute, label_recording
from chordtool.corpus.recipe import Recipe, make_recipe, parse_front_end
from chordtool.corpus.recording import Recording
from chordtool.decoding import log_probabilities
from chordtool.errors import ModelUnavailableError
from chordtool.files import sha256_of
from chordtool.frontend import BTC_FRONT_END, FrontEnd
from chordtool.models import load_model
from chordtool.vocabulary import MASKED

from .conftest import tone


def job(path: Path, **bounds: float) -> Job:
    return Job(str(path), sha256_of(path), **bounds)


def run(recipe: Recipe, corpus: Path, path: Path, **bounds: float) -> tuple[Outcome, Path]:
    made = job(path, **bounds)
    return label_recording(recipe, str(corpus), made), recording_path(corpus, made.audio_sha256)


@pytest.fixture
def song(tmp_path: Path) -> Path:
    path = tmp_path / "song.wav"
    soundfile.write(path, tone(4, 1), 22_050)
    return path


def test_labels_are_the_argmax_of_the_teacher_at_each_frame(
    recipe: Recipe, song: Path, tmp_path: Path
) -> None:
    outcome, path = run(recipe, tmp_path / "c", song)
    recording = Recording(path)
    arrays = recording.load()
    samples = audio.load(song, 22_050).samples
    features = log_cqt(samples, FrontEnd())
    logits = load_model("toy").logits(features)
    assert outcome.status == "labelled"
    assert outcome.frames == len(features)
    assert np.array_equal(arrays.features, features.astype(np.float16))
    assert np.array_equal(arrays.labels, logits.argmax(axis=1))
    exact = np.exp(log_probabilities(logits))
    np.testing.assert_allclose(recording.posteriors(), exact, atol=0.02)
    assert outcome.statistics == recording.metadata.statistics
    assert sum(outcome.statistics["class_frames"].values()) == outcome.frames


def test_several_teachers_are_averaged(toy: Path, song: Path, tmp_path: Path) -> None:
    both = make_recipe(["toy", "other"], weights=[3, 1])
    outcome, path = run(both, tmp_path / "c", song)
    features = log_cqt(audio.load(song, 22_050).samples, FrontEnd())
    logs = [log_probabilities(load_model(n).logits(features)) for n in ("toy", "other")]
    mean = 0.75 * logs[0] + 0.25 * logs[1]
    assert np.array_equal(Recording(path).load().labels, mean.argmax(axis=1))
    agreement = np.mean(logs[0].argmax(axis=1) == logs[1].argmax(axis=1))
    assert outcome.statistics["agreement"] == pytest.approx(agreement, abs=1e-4)


def test_of_three_teachers_the_agreement_is_the_mean_over_pairs(toy: Path, song: Path) -> None:
    ensemble = Ensemble(make_recipe(["toy", "other"]))
    one, other = ensemble._models
    edges = FrontEnd().frame_edges(40, 4.0)
    with open_signals(song, [22_050]) as signals:
        pair = ensemble.listen(signals, edges).agreeing
        ensemble._models, ensemble._weights = [one, other, one], [0.25, 0.5, 0.25]
        three = ensemble.listen(signals, edges).agreeing
    assert pair < 40
    assert three == pytest.approx((40 + 2 * pair) / 3)


def test_frames_of_little_confidence_are_left_out_if_asked_for(
    toy: Path, song: Path, tmp_path: Path
) -> None:
    _, path = run(make_recipe(["toy"]), tmp_path / "all", song)
    everything = Recording(path).load()
    confidence = Recording(path).posteriors().max(axis=1)
    bound = float(np.median(confidence))
    strict = make_recipe(["toy"], filter_confidence=bound)
    outcome, path = run(strict, tmp_path / "sure", song)
    kept = Recording(path).load()
    clear = np.abs(confidence - bound) > 0.01
    assert (kept.labels == MASKED)[clear].tolist() == (confidence < bound)[clear].tolist()
    sure = kept.labels != MASKED
    assert 0 < sure.sum() < len(sure)
    assert np.array_equal(kept.labels[sure], everything.labels[sure])
    assert np.array_equal(kept.codes, everything.codes)
    assert sum(outcome.statistics["class_frames"].values()) == sure.sum()
    assert strict.labels_fingerprint != make_recipe(["toy"]).labels_fingerprint


def test_means_of_distributions() -> None:
    a, b = np.array([[0.5, 0.5, 0.0]], np.float32), np.array([[0.9, 0.05, 0.05]], np.float32)
    arithmetic = np.exp(average([a, b], [0.5, 0.5], "arithmetic"))
    np.testing.assert_allclose(arithmetic, [[0.7, 0.275, 0.025]], rtol=1e-5)
    geometric = np.exp(average([a, b], [0.5, 0.5], "geometric"))
    expected = np.sqrt([0.45, 0.025, 1e-8 * 0.05])
    np.testing.assert_allclose(geometric[0], expected / expected.sum(), rtol=1e-4)
    np.testing.assert_allclose(np.exp(average([b], [1.0], "geometric")), b, rtol=1e-5)


@pytest.mark.parametrize("front_end", [FrontEnd(), BTC_FRONT_END], ids=["whole", "chunked"])
def test_a_long_recording_in_parts_has_the_features_of_the_whole(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, front_end: FrontEnd
) -> None:
    song = tmp_path / "long.wav"
    soundfile.write(song, tone(131, 2), 22_050)
    recipe = make_recipe(["toy"], front_end=front_end)
    with open_signals(song, [22_050]) as signals:
        whole, _ = compute(recipe, signals, None)
        monkeypatch.setattr(labelling, "WHOLE_SECONDS", 60.0)
        monkeypatch.setattr(labelling, "PART_SECONDS", 30.0)
        parts, _ = compute(recipe, signals, None)
    np.testing.assert_allclose(
        parts.features.astype(np.float32), whole.features.astype(np.float32), atol=0.01
    )
    assert np.mean(parts.labels == whole.labels) > 0.99


def test_what_is_there_is_not_done_again(
    recipe: Recipe, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, path = run(recipe, tmp_path / "c", song)
    before = path.stat().st_mtime_ns
    song_again = tmp_path / "copy.wav"
    song_again.write_bytes(song.read_bytes())
    monkeypatch.setattr(labelling, "compute", None)
    again, _ = run(recipe, tmp_path / "c", song_again)
    assert again == replace(first, reused=True)
    assert path.stat().st_mtime_ns == before


def test_a_new_teacher_keeps_the_features_and_a_new_front_end_the_labels(
    recipe: Recipe, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = replace(recipe, front_end=parse_front_end("default+6"))
    other = make_recipe(["other"], front_end=wide.front_end)
    afresh = {r: run(r, tmp_path / r.labels_fingerprint / str(i), song)[1].read_bytes()
              for i, r in enumerate((wide, other))}  # fmt: skip
    run(recipe, tmp_path / "c", song)
    with monkeypatch.context() as patch:
        patch.setattr(labelling.Ensemble, "listen", None)
        _, path = run(wide, tmp_path / "c", song)
    assert path.read_bytes() == afresh[wide]
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "log_cqt", None)
        _, path = run(other, tmp_path / "c", song)
    assert path.read_bytes() == afresh[other]


def test_a_damaged_recording_is_labelled_anew(recipe: Recipe, song: Path, tmp_path: Path) -> None:
    _, path = run(recipe, tmp_path / "c", song)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100] + bytes(100))
    outcome, _ = run(recipe, tmp_path / "c", song)
    assert not outcome.reused
    assert path.read_bytes() == whole


def test_lengths_out_of_bounds_are_skipped(recipe: Recipe, song: Path, tmp_path: Path) -> None:
    short, path = run(recipe, tmp_path / "c", song, min_seconds=10)
    assert (short.status, short.error) == ("skipped", "It is shorter than 10 s.")
    assert short.seconds == pytest.approx(4)
    long, _ = run(recipe, tmp_path / "c", song, max_seconds=2)
    assert (long.status, long.error) == ("skipped", "It is longer than 2 s.")
    assert not path.exists()


def test_a_file_that_changes_while_it_is_read_is_an_error(
    recipe: Recipe, song: Path, tmp_path: Path
) -> None:
    looked_at = job(song)
    soundfile.write(song, tone(4, 9), 22_050)
    outcome = label_recording(recipe, str(tmp_path / "c"), looked_at)
    assert (outcome.status, outcome.error) == (
        "failed",
        "The file was changed while it was being read.",
    )


@pytest.mark.parametrize("content", [b"", b"no audio at all" * 100, b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_audio_fails_in_a_sentence(
    recipe: Recipe, tmp_path: Path, content: bytes
) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(content)
    outcome, _ = run(recipe, tmp_path / "c", broken)
    assert outcome.status == "failed"
    assert outcome.error.endswith(".")


def test_a_teacher_that_breaks_costs_one_recording(recipe: Recipe, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(22_050), 22_050)
    outcome, _ = run(recipe, tmp_path / "c", silent)
    assert outcome.status == "failed"
    why = "failed: RuntimeError: the toy does not like silence."
    assert outcome.error == f"The model 'toy' of the package toy-teacher {why}"


def test_a_teacher_that_is_another_one_elsewhere_ends_the_run(
    recipe: Recipe, song: Path, tmp_path: Path
) -> None:
    foreign = replace(recipe, teachers=(replace(recipe.teachers[0], sha256="0" * 64),))
    assert run(recipe, tmp_path / "c", song)[0].status == "labelled"
    with pytest.raises(ModelUnavailableError, match="another one"):
        run(foreign, tmp_path / "d", song)
    assert run(recipe, tmp_path / "e", song)[0].status == "labelled"


def test_silence_and_noise_are_told_from_music(recipe: Recipe, tmp_path: Path) -> None:
    quiet = tmp_path / "quiet.wav"
    noise = np.random.default_rng(0).normal(size=5 * 22_050) * 1e-4
    soundfile.write(quiet, noise, 22_050, subtype="FLOAT")
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, noise * 1000, 22_050, subtype="FLOAT")
    music = tmp_path / "music.wav"
    soundfile.write(music, tone(5, 0), 22_050)
    silence, hiss, song = (run(recipe, tmp_path / "c", p)[0] for p in (quiet, loud, music))
    assert [o.error for o in (silence, hiss, song)] == ["", "", ""]
    assert silence.statistics["content"] == "silence"
    assert silence.statistics["silence"] == 1
    assert hiss.statistics["silence"] == song.statistics["silence"] == 0
    assert hiss.statistics["tonalness"] < 0.3 < song.statistics["tonalness"]


def test_a_recording_of_a_few_samples_is_labelled_or_refused(
    recipe: Recipe, tmp_path: Path
) -> None:
    tiny = tmp_path / "tiny.wav"
    soundfile.write(tiny, tone(1, 1)[:3], 22_050)
    outcome, _ = run(recipe, tmp_path / "c", tiny)
    assert outcome.status in ("labelled", "failed")
    assert (outcome.frames > 0) == (outcome.status == "labelled")
