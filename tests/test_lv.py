from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from chordtool import catalogue
from chordtool.errors import ModelUnavailableError
from chordtool.models import Model, load_model, lv
from chordtool.models.lv_network import LvNetwork
from chordtool.vocabulary import LARGE, N_INDEX, QUALITIES, X_INDEX, class_of
from tests.golden_labels import GOLDEN, majmin_agreement

SLICES = {
    "triad": slice(0, 73),
    "bass": slice(73, 86),
    "seventh": slice(86, 90),
    "ninth": slice(90, 94),
    "eleventh": slice(94, 97),
    "thirteenth": slice(97, 100),
}


@pytest.fixture
def teacher(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setenv(catalogue.MODELS_ENV, str(shared / "teachers"))
    return load_model("lv")


def heads(**certain: int) -> np.ndarray:
    """One frame that is sure of the named heads' positions, and of none in all others."""
    frame = np.full((1, 100), 1e-9, np.float32)
    for name, part in SLICES.items():
        frame[0, part.start + certain.get(name, 0)] = 1.0
    return frame


# The shorter half of the recordings; benchmarks/teachers/agreement.py takes them all.
@pytest.mark.parametrize("name", GOLDEN[:2])
def test_agrees_with_the_reference_package(teacher: Model, shared: Path, name: str) -> None:
    # Without basses and ninths it comes to 0.982 and 0.989 on these.
    assert majmin_agreement(teacher, shared, name) >= (0.995 if name == GOLDEN[0] else 0.9895)


@pytest.mark.parametrize(
    ("certain", "label"),
    [
        ({}, "N"),
        ({"triad": 1, "bass": 1}, "C"),
        ({"triad": 1, "bass": 5}, "C"),
        ({"triad": 1 + 7, "bass": 1 + 5}, "G"),
        ({"triad": 1 + 9 + 12, "bass": 1 + 9}, "A:min"),
        ({"triad": 1 + 9 + 12, "bass": 1}, "A:min"),
        ({"triad": 1 + 7, "bass": 1 + 7, "seventh": 2}, "G:7"),
        ({"triad": 1 + 7, "bass": 1 + 7, "seventh": 2, "ninth": 1}, "G:7"),
        (
            {
                "triad": 8, "bass": 8, "seventh": 2,
                "ninth": 1, "eleventh": 1, "thirteenth": 1,
            },
            "G:7",
        ),
        ({"triad": 1 + 5, "bass": 1 + 5, "seventh": 1}, "F:maj7"),
        ({"triad": 1 + 5, "bass": 1 + 5, "seventh": 1, "ninth": 1}, "F:maj7"),
        ({"triad": 1 + 5, "bass": 1 + 5, "thirteenth": 1}, "F:maj6"),
        ({"triad": 1 + 2 + 12, "bass": 1 + 2, "seventh": 2}, "D:min7"),
        ({"triad": 1 + 2 + 12, "bass": 1 + 2, "thirteenth": 1}, "D:min6"),
        ({"triad": 1 + 2 + 12, "bass": 1 + 2, "seventh": 1}, "D:minmaj7"),
        ({"triad": 1 + 24, "bass": 1, "seventh": 2}, "C:sus4"),
        ({"triad": 1 + 11 + 36, "bass": 1 + 11}, "B:sus2"),
        ({"triad": 1 + 11 + 48, "bass": 1 + 11}, "B:dim"),
        ({"triad": 1 + 11 + 48, "bass": 1 + 11, "seventh": 2}, "B:hdim7"),
        ({"triad": 1 + 11 + 48, "bass": 1 + 11, "seventh": 3}, "B:dim7"),
        ({"triad": 1 + 8 + 60, "bass": 1 + 8}, "G#:aug"),
    ],
)  # fmt: skip
def test_parts_of_a_chord_become_its_class(certain: dict[str, int], label: str) -> None:
    scores = lv.class_log_probabilities(heads(**certain))
    assert LARGE[int(scores.argmax())] == LARGE[class_of(label)]


def test_every_quality_has_forms_and_no_form_has_two() -> None:
    assert set(lv._FORMS) == set(QUALITIES)
    forms = [form for some in lv._FORMS.values() for form in some]
    assert len(set(forms)) == len(forms)


def test_a_class_has_the_product_of_its_likeliest_form() -> None:
    rng = np.random.default_rng(0)
    sizes = [part.stop - part.start for part in SLICES.values()]
    frame = np.concatenate([rng.dirichlet(np.ones(n), 50) for n in sizes], axis=1)
    probability = np.exp(lv.class_log_probabilities(frame.astype(np.float32)))
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    triad, bass, seventh, ninth, eleventh, thirteenth = (frame[:, s] for s in SLICES.values())
    plain = seventh[:, 0] * ninth[:, 0] * eleventh[:, 0] * thirteenth[:, 0]
    # A major triad on A: over its root, its third, fifth and seventh, and over its ninth.
    over = bass[:, [1 + 9, 1 + 1, 1 + 4, 1 + 7, 1 + 11]].max(axis=1)
    major = triad[:, 1 + 9] * over * plain
    minor_seventh = triad[:, 1 + 12] * bass[:, 1] * seventh[:, 2] * thirteenth[:, 0]
    minor_seventh *= eleventh[:, 0] * ninth[:, :2].max(axis=1)
    for label, expected in (("A", major), ("C:min7", minor_seventh)):
        found = probability[:, class_of(label)] / probability[:, N_INDEX]
        np.testing.assert_allclose(found, expected / (triad[:, 0] * bass[:, 0]), rtol=1e-4)
    assert (probability[:, X_INDEX] < 1e-25).all()


def test_impossible_chords_stay_finite() -> None:
    frame = np.zeros((3, 100), np.float32)
    frame[:, [0, 73, 86, 90, 94, 97]] = 1
    scores = lv.class_log_probabilities(frame)
    assert np.isfinite(scores).all()
    assert (scores.argmax(axis=1) == N_INDEX).all()


@pytest.mark.parametrize("n_frames", [0, 1, 38_000, 38_759, 38_760, 100_000, 465_120])
def test_parts_tile_a_recording_and_see_beyond_their_ends(n_frames: int) -> None:
    parts = list(lv._parts(n_frames))
    covered = [frame for part, _, _ in parts for frame in (part.start, part.stop)]
    assert covered == sorted(covered)
    assert all(a.stop == b.start for (a, _, _), (b, _, _) in pairwise(parts))
    assert sum(part.stop - part.start for part, _, _ in parts) == n_frames
    for part, kept, seen in parts:
        assert part.stop - part.start <= lv._PART_FRAMES
        assert seen.start + kept.start == part.start
        assert seen.start == 0 or part.start - seen.start == lv._CONTEXT_FRAMES
        assert seen.stop == n_frames or seen.stop - part.stop == lv._CONTEXT_FRAMES


def test_a_long_recording_is_seen_in_parts_that_join(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two spectra in turn, so that any part is typical of the whole and a shift would show.
    fold = lv.Lv([LvNetwork(shared / "teachers" / "lv" / "fold0.onnx")])
    rng = np.random.default_rng(1)
    turns = np.repeat(np.tile([0, 1], 5), 50)
    features = np.exp(2 * rng.standard_normal((2, 288)))[turns]
    features *= np.exp(0.3 * rng.standard_normal(features.shape))
    features = features.astype(np.float32)
    whole = np.exp(fold.logits(features))
    monkeypatch.setattr(lv, "_PART_FRAMES", 300)
    monkeypatch.setattr(lv, "_CONTEXT_FRAMES", 100)
    parts = np.exp(fold.logits(features))
    assert parts.shape == whole.shape
    shifted = np.abs(parts[10:] - whole[:-10]).sum(axis=1).mean()
    assert np.abs(parts - whole).sum(axis=1).mean() < 0.4 * shifted


def test_no_frames_give_no_logits(teacher: Model) -> None:
    assert teacher.logits(np.zeros((0, 288), np.float32)).shape == (0, 170)


def test_its_card_says_what_it_is(teacher: Model) -> None:
    card = teacher.card
    assert (card.front_end.kind, card.front_end.hop_length) == ("hybrid-cqt", 512)
    assert card.front_end.sample_rate == 22_050
    assert card.segment_frames is None
    assert card.licence == "MIT"


def test_absent_weights_are_named_with_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "folders", lambda: (tmp_path,))
    with pytest.raises(ModelUnavailableError) as caught:
        load_model("lv")
    assert "chordtool models download lv" in caught.value.hint
