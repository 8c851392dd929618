from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.corpus.compact import STEP_NATS, encode
from chordtool.corpus.recording import Arrays
from chordtool.corpus.statistics import Totals, describe
from chordtool.vocabulary import LARGE, N_INDEX, class_of


def arrays(labels: list[int], confidence: float) -> Arrays:
    """Frames on which the label has a given posterior and the others share the rest."""
    posteriors = np.full((len(labels), 170), (1 - confidence) / 169)
    posteriors[np.arange(len(labels)), labels] = confidence
    features = np.random.default_rng(0).normal(size=(len(labels), 144)).astype(np.float16)
    return Arrays(features, np.array(labels, np.int16), encode(np.log(posteriors)))


def test_a_recording_in_numbers() -> None:
    labels = [class_of("C")] * 6 + [class_of("A:min7")] * 3 + [N_INDEX]
    found = describe(arrays(labels, 0.75), STEP_NATS, silence=0.1, agreement=0.5)
    assert found["class_frames"] == {"C": 6, "A:min7": 3, "N": 1}
    assert found["confidence"] == pytest.approx(0.75, abs=0.01)
    assert found["confidence_histogram"] == [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25 / 169)) / math.log(170)
    assert found["entropy"] == pytest.approx(entropy, abs=0.01)
    assert found["no_chord"] == 0.1
    assert found["agreement"] == 0.5
    assert found["content"] == "music"


@pytest.mark.parametrize(
    ("silence", "no_chord", "content"),
    [(0.0, 0.89, "music"), (0.0, 0.9, "no-music"), (0.94, 0.0, "music"), (0.95, 1.0, "silence")],
)
def test_what_holds_no_music_is_told(silence: float, no_chord: float, content: str) -> None:
    labels = [N_INDEX] * round(100 * no_chord) + [0] * round(100 - 100 * no_chord)
    found = describe(arrays(labels, 0.9), STEP_NATS, silence=silence, agreement=None)
    assert found["content"] == content


@pytest.mark.parametrize(
    ("flat", "silence", "content"),
    [(0.3, 0.0, "music"), (1.0, 0.0, "no-music"), (0.5, 0.5, "music"), (0.9, 0.5, "no-music")],
)
def test_noise_is_no_music_whatever_teachers_hear(
    flat: float, silence: float, content: str
) -> None:
    given = arrays([0] * 100, 0.9)
    given.features[: round(100 * flat)] = -5.0
    found = describe(given, STEP_NATS, silence=silence, agreement=None)
    assert found["content"] == content


def test_the_whole_is_weighed_by_frames() -> None:
    totals = Totals()
    for label, frames, confidence in (("C", 30, 0.9), ("D:7", 10, 0.5)):
        labels = [class_of(label)] * frames
        described = describe(
            arrays(labels, confidence), STEP_NATS, silence=0.0, agreement=confidence
        )
        totals.add(described, frames, frames / 10)
    assert totals.confidence == pytest.approx(0.8, abs=0.01)
    assert totals.agreement == pytest.approx(0.8)
    assert totals.roots["C"] == 30
    assert totals.qualities["7"] == 10
    assert totals.classes == 2
    expected = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(12)
    assert totals.root_entropy == pytest.approx(expected)
    assert totals.to_dict()["hours"] == pytest.approx(4 / 3600)


def test_uniform_roots_have_all_the_entropy() -> None:
    totals = Totals()
    totals.add({"class_frames": dict.fromkeys(LARGE[:168], 7)}, 7 * 168, 1.0)
    assert totals.root_entropy == pytest.approx(1.0)
    assert totals.classes == 168


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    ["class_frames", "confidence", "confidence_histogram", "agreement", "content", "silence"]
)


@given(st.dictionaries(keys, json_values))
def test_odd_statistics_do_not_end_the_count(statistics: dict[str, object]) -> None:
    totals = Totals()
    totals.add(statistics, 10, 1.0)
    assert totals.to_dict()["recordings"] == 1
