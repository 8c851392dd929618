"""The page of a song with a recording in it, in a real browser."""

from __future__ import annotations

import math
import struct
import wave
from collections.abc import Iterator

import pytest

from chordtool.formats import FormatOptions, render
from tests import browser as chromium
from tests.browser import Browser
from tests.songs import SONG


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with a recording in it."""
    folder = tmp_path_factory.mktemp("page")
    audio = folder / "song.wav"
    with wave.open(str(audio), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        tone = (int(8000 * math.sin(n / 5)) for n in range(int(8000 * SONG.seconds)))
        file.writeframes(b"".join(struct.pack("<h", value) for value in tone))
    target = folder / "song.html"
    options = FormatOptions(audio=audio, embed_audio=True, target=target)
    target.write_bytes(render(SONG, "html", options))
    return target.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = chromium.find()
    if program is None:
        pytest.skip("chromium is not installed")
    with chromium.launched(program) as running:
        yield running


@pytest.fixture
def shown(browser: Browser, page: str) -> Browser:
    """The page, loaded anew, its recording ready."""
    browser.open(page)
    browser.wait("document.getElementById('audio').readyState >= 2")
    return browser
