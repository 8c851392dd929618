"""What a terminal is shown of names that somebody else chose."""

from __future__ import annotations

import os

import pytest

from chordtool.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("夜 ♪", "夜 ♪"),
        ("a\x1b[31m\nb", "a\ufffd[31m\ufffdb"),
        (os.fsdecode("café".encode("latin-1")), "caf\ufffd"),
        ("caf\udcc3\udca9", "café"),
        ("half \ud83d a pair", "half \ufffd a pair"),
    ],
)
def test_any_text_can_be_printed(text: str, shown: str) -> None:
    assert printable(text) == shown
