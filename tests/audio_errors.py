"""What every error about a recording must be."""

from __future__ import annotations

from pathlib import Path

import pytest

from chordtool.audio import load
from chordtool.errors import AudioError


def assert_a_clear_error(path: Path) -> None:
    """Reading fails with one line and a hint, whatever the file's name."""
    with pytest.raises(AudioError) as raised:
        load(path, 22_050)
    assert raised.value.hint
    assert "\n" not in raised.value.message
    raised.value.message.encode("utf-8")
