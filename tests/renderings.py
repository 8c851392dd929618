"""What tests of the recipes share."""

from __future__ import annotations

import itertools

import pytest

from recipes.arrangement import ChordSpan
from recipes.soundfonts import available

needs_fonts = pytest.mark.skipif(not available(), reason="fluidsynth or its sound fonts are absent")


def assert_tiles(spans: tuple[ChordSpan, ...], duration: float) -> None:
    assert spans[0].start == 0.0
    assert spans[-1].end == pytest.approx(duration, abs=1e-9)
    for span, after in itertools.pairwise(spans):
        assert span.end == after.start
    assert all(span.end > span.start for span in spans)
