"""The page is read: on every screen, in either scheme, on paper, by whoever cannot see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from chordtool.formats import FormatOptions, render
from chordtool.segments import Segment, Transcription
from tests.browser import Browser
from tests.page.steps import at, screenshot, text
from tests.songs import SONG

CONTRAST = """
(() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const over = colours => {
    context.clearRect(0, 0, 1, 1);
    for (const colour of colours) { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const light = rgb => rgb.slice(0, 3).map(v => v / 255)
    .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const texts = [...document.querySelectorAll('body *')].filter(e => e.checkVisibility()
    && !e.disabled && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
  return texts.map(element => {
    const behind = [];
    for (let e = element; e; e = e.parentElement)
      behind.unshift(getComputedStyle(e).backgroundColor);
    const style = getComputedStyle(element), svg = element.namespaceURI.endsWith('svg');
    const ground = over(['white', ...behind]);
    if (svg) return [99, ''];
    const ink = over([`rgb(${ground.slice(0, 3)})`, style.color]);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    return [(a + .05) / (b + .05), `${element.className} ${element.textContent.slice(0, 30)}`];
  }).sort((a, b) => a[0] - b[0])[0];
})()
"""


def test_the_chart_follows_whoever_reads_it(browser: Browser, tmp_path: Path) -> None:
    chords = tuple(Segment(n, n + 1.0, "CG"[n % 2]) for n in range(400))
    beats = tuple(n / 4 for n in range(1600))
    song = Transcription(chords, 400.0, beats=beats, downbeats=beats[::4])
    target = tmp_path / "long.html"
    target.write_bytes(render(song, "html", FormatOptions()))
    browser.open(target.as_uri())
    still = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.call("Emulation.setEmulatedMedia", features=still)
    top = "document.querySelector('.bar.here').getBoundingClientRect().top"
    browser.run("seek(300); toggle(); 0")
    assert browser.run("scrollY") == 0, "who looks at the top of the page stays there"
    browser.run("$('chart').scrollIntoView(); 0")
    browser.wait(f"{top} > 0 && {top} < innerHeight - 100")
    browser.run(
        "dispatchEvent(new WheelEvent('wheel')); scrollTo(0, $('chart').offsetTop + 200); 0"
    )
    browser.run("new Promise(done => setTimeout(done, 1500))")
    assert browser.run("scrollY") == browser.run("$('chart').offsetTop + 200"), "nor is a hand"


def test_on_a_phone_that_lies_the_chord_and_its_fingering_are_seen_at_once(
    browser: Browser, page: str
) -> None:
    browser.open(page, 844, 390, phone=True)
    at(browser, 2.0)
    player = browser.run("document.querySelector('.player').getBoundingClientRect().top")
    for part in ("#now-name", "#now-guitar svg", "#now-piano svg", "#next-name", "#timeline"):
        bottom = f"document.querySelector('{part}').getBoundingClientRect().bottom"
        assert browser.run(bottom) <= player, part


@pytest.mark.parametrize("width", [1280, 390])
def test_no_name_in_the_chart_is_cut_off(browser: Browser, tmp_path: Path, width: int) -> None:
    beats = tuple(float(n) for n in range(8))
    labels = ("A:sus4", "A:min7", "A:min7", "A:min7", "Ab:min7", "Db:maj7", "C#:hdim7", "Gb:7")
    chords = tuple(Segment(n, n + 1.0, label) for n, label in enumerate(labels))
    song = Transcription(chords, 8.0, beats=beats, downbeats=beats[::4])
    target = tmp_path / "names.html"
    target.write_bytes(render(song, "html", FormatOptions(spelling="flats")))
    browser.open(target.as_uri(), width, 844)
    cut = "[...document.querySelectorAll('.cell')].filter(c => c.scrollWidth > c.clientWidth)"
    assert browser.run(f"{cut}.map(c => c.textContent)") == []
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.run(f"{cut}.map(c => c.textContent)") == []
    assert browser.run("document.documentElement.scrollWidth") <= width


def test_most_names_in_the_timeline_are_whole(shown: Browser) -> None:
    cut = "[...document.querySelectorAll('.block')].filter(b => b.scrollWidth > b.clientWidth)"
    assert shown.run(f"{cut}.map(block => block.textContent)") == []


def test_less_sure_is_fainter(shown: Browser) -> None:
    block = "document.querySelector('.block[data-segment=\"{}\"]')"
    width = f"parseFloat(getComputedStyle({block}, '::after').width)"
    scale = shown.run("PIXELS_PER_SECOND")
    share = [shown.run(width.format(n)) / (scale * SONG.segments[n].seconds) for n in (1, 2)]
    assert share[0] > share[1] > 0
    assert (
        shown.run("document.querySelector('.block[data-segment=\"4\"]').className")
        == "block unsure"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(shown: Browser, scheme: str) -> None:
    shown.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    at(shown, 2.0)
    shown.run("new Promise(done => setTimeout(done, 300))")
    ratio, where = shown.run(CONTRAST)
    assert ratio >= 4.5, where


def test_every_control_has_a_name(shown: Browser) -> None:
    nodes = shown.call("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "slider", "combobox", "image", "link", "dialog", "region", "meter")
    controls = [n for n in nodes if n.get("role", {}).get("value") in roles]
    assert len(controls) > 20
    assert [n for n in controls if not n.get("name", {}).get("value")] == []


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(browser: Browser, page: str, width: int) -> None:
    browser.open(page, width, 844, phone=True)
    at(browser, 2.0)
    out = browser.run(
        "[...document.querySelectorAll('main *, .head *, .player *')]"
        ".filter(e => e.checkVisibility() && !e.closest('.track'))"
        ".filter(e => e.getBoundingClientRect().right > innerWidth - 8)"
        ".map(e => e.id || e.className)"
    )
    assert out == []
    assert browser.run("document.documentElement.scrollWidth") <= width
    small = browser.run(
        "[...document.querySelectorAll('button, select')].filter(b => b.checkVisibility())"
        ".filter(b => b.getBoundingClientRect().height < 38).map(b => b.id || b.className)"
    )
    assert small == []
    if width == 390:
        screenshot(browser, "page-phone.png")


@pytest.mark.parametrize("width", [320, 390, 844])
def test_the_recording_can_be_chosen_on_a_phone(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    target = tmp_path / "linked.html"
    options = FormatOptions(audio=tmp_path / "missing.mp3", target=target)
    target.write_bytes(render(SONG, "html", options))
    browser.open(target.as_uri(), width, 844, phone=True)
    browser.wait("!document.getElementById('problem').hidden")
    box = "document.querySelector('{}').getBoundingClientRect()"
    for part in ("#choose", "#play", "#total", "#seek"):
        place = browser.run(f"(b => [b.left, b.right, b.bottom])({box.format(part)})")
        assert place[0] >= 0, part
        assert place[1] <= width, part
        assert place[2] <= 844, part
    above = browser.run(f"{box.format('.player')}.top - {box.format('#problem')}.bottom")
    assert above >= 0
    browser.run("document.getElementById('play').click()")
    assert browser.run("document.getElementById('problem').hidden") is True, "it has been read"


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_jumps_from_chord_to_chord(browser: Browser, page: str, width: int) -> None:
    browser.open(page, width, 844)
    browser.wait("document.getElementById('audio').readyState >= 2")
    heights = set()
    for segment in SONG.segments:
        at(browser, segment.start + 0.1)
        heights.add(browser.run("document.querySelector('.stage').offsetHeight"))
    assert len(heights) == 1


def test_what_is_printed_is_the_chart(shown: Browser) -> None:
    shown.call("Emulation.setEmulatedMedia", media="print")
    visible = "[...document.querySelectorAll('{}')].filter(e => e.checkVisibility()).length"
    for selector in (".stage", ".tools", ".timeline", ".player", ".problem"):
        assert shown.run(visible.format(selector)) == 0
    assert shown.run(visible.format(".cell")) > 0
    assert shown.run(visible.format(".cards svg")) > 0
    assert shown.pdf().startswith(b"%PDF")


def test_the_screenshot_of_the_docs(shown: Browser) -> None:
    at(shown, 5.6)
    shown.hover('.block[data-segment="4"]')
    shown.wait("!document.getElementById('tip').hidden")
    assert text(shown, "now-name") == "Ebmaj7"
    screenshot(shown, "page.png")
