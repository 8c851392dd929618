from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chordtool.frontend import FrontEnd
from chordtool.models import ModelCard, load_model
from chordtool.testing import check_model
from chordtool.types import Features, Logits, Samples
from chordtool.vocabulary import LARGE

HOP = 1024
RATE = 8_000


class Good:
    """Loudness of each frame against a fixed matrix: a model only in form."""

    def __init__(self) -> None:
        self.card = ModelCard(
            "good", "none", FrontEnd(kind="other", sample_rate=RATE, hop_length=HOP, n_bins=2)
        )
        self.heard = 0

    def features(self, samples: Samples) -> Features:
        self.heard += 1
        if len(samples) == 0:
            return np.empty((0, 2), np.float32)
        frames = 1 + len(samples) // HOP
        padded = np.zeros(frames * HOP, np.float32)
        padded[: len(samples)] = samples
        blocks = padded.reshape(frames, HOP)
        return np.stack([np.abs(blocks).mean(1), blocks.std(1)], axis=1).astype(np.float32)

    def logits(self, features: Features) -> Logits:
        return features @ np.linspace(-1, 1, 2 * len(LARGE), dtype=np.float32).reshape(2, -1)


def test_a_model_that_keeps_the_contract_passes() -> None:
    check_model(Good())


def features_as(change: Callable[[Good, Samples, Features], Any]) -> type[Good]:
    class Changed(Good):
        def features(self, samples: Samples) -> Features:
            return change(self, samples, super().features(samples))  # type: ignore[no-any-return]

    return Changed


def logits_as(change: Callable[[Good, Features, Logits], Any]) -> type[Good]:
    class Changed(Good):
        def logits(self, features: Features) -> Logits:
            return change(self, features, super().logits(features))  # type: ignore[no-any-return]

    return Changed


def with_card(**changes: Any) -> type[Good]:
    class Changed(Good):
        def __init__(self) -> None:
            super().__init__()
            self.card = replace(self.card, **changes)

    return Changed


def scaled_in_place(model: Good, samples: Samples, features: Features) -> Features:
    samples *= 2
    return features


def none_on_silence(model: Good, features: Features, logits: Logits) -> Logits:
    with np.errstate(all="ignore"):
        return logits / features.max(initial=0.0)


def changed_in_place(model: Good, features: Features, logits: Logits) -> Logits:
    features += 1
    return logits


def broken_by_one_frame(model: Good, features: Features, logits: Logits) -> Logits:
    return logits if len(features) > 1 else logits[:, :3]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (with_card(name=""), "no name"),
        (with_card(vocabulary="huge"), "cannot be written as JSON"),
        (with_card(training={1: 2}), "another one"),
        (features_as(lambda m, s, f: f.astype(float)), r"features\(\) of music is float64"),
        (features_as(lambda m, s, f: f.tolist()), "is list, no array"),
        (features_as(lambda m, s, f: f[:, 0]), r"not \[frames, \.\.\.\]"),
        (features_as(lambda m, s, f: f[: len(f) // 2]), "front end is another one"),
        (features_as(scaled_in_place), "changes the samples"),
        (features_as(lambda m, s, f: f if len(s) else 1 / 0), "without samples: ZeroDivision"),
        (features_as(lambda m, s, f: f if len(s) != 1 else f[:0]), "a single sample have no frame"),
        (logits_as(lambda m, f, x: x[:, :25]), r"\[40, 25\] instead of \[40, 170\]"),
        (logits_as(lambda m, f, x: x.astype(np.float16)), "float16 instead of float32"),
        (logits_as(none_on_silence), "silence holds NaN"),
        (logits_as(changed_in_place), "changes the features"),
        (logits_as(broken_by_one_frame), "1 frames|a single sample"),
        (logits_as(lambda m, f, x: x + np.float32(m.heard)), "differ from one time to the next"),
        (logits_as(lambda m, f, x: Path("/nonesuch").read_bytes()), "fails on music: FileNotFound"),
    ],
)
def test_each_breach_of_the_contract_is_named(model: type[Good], sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        check_model(model())


def test_a_card_of_another_kind_is_named() -> None:
    model = Good()
    model.card = "good"  # type: ignore[assignment]
    with pytest.raises(AssertionError, match="not a ModelCard but str"):
        check_model(model)


@pytest.mark.parametrize("name", ["crema", "lv"])
def test_the_teachers_keep_the_contract(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHORDTOOL_MODELS", str(shared / "teachers"))
    check_model(load_model(name), seconds=1.0)


def test_the_model_that_ships_keeps_the_contract() -> None:
    check_model(load_model())
