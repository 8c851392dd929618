"""The page in a real browser. ``CHORDTOOL_SCREENSHOTS=docs/images`` keeps what it looks like."""

from __future__ import annotations

import math
import os
import struct
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import browser as chromium
import pytest
from browser import Browser
from songs import SONG

from chordtool.formats import FormatOptions, render
from chordtool.segments import Segment, Transcription

PROGRAM = chromium.find()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")

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
    assert PROGRAM is not None, "the module is skipped without it"
    with chromium.launched(PROGRAM) as running:
        yield running


@pytest.fixture
def shown(browser: Browser, page: str) -> Browser:
    """The page, loaded anew, its recording ready."""
    browser.open(page)
    browser.wait("document.getElementById('audio').readyState >= 2")
    return browser


def text(shown: Browser, identity: str) -> str:
    return str(shown.run(f"document.getElementById('{identity}').textContent"))


def at(shown: Browser, seconds: float) -> None:
    """Move to a time and wait until the browser is there."""
    shown.run(f"seek({seconds})")
    shown.wait(f"Math.abs(now() - {seconds}) < 0.01 && !audio.seeking")
    shown.run("draw()")


def test_it_shows_the_song_and_complains_of_nothing(shown: Browser, page: str) -> None:
    assert shown.run("document.title") == "Late Train \N{EN DASH} chords"
    assert text(shown, "key") == "Bb major"
    assert text(shown, "length") == "0:17"
    assert shown.run("document.querySelectorAll('.block').length") == len(SONG.segments)
    assert shown.problems() == []
    assert {url.split(",")[0] for url in shown.requests()} <= {page, "data:audio/wav;base64"}


def test_the_right_chord_is_highlighted_at_a_time(shown: Browser) -> None:
    marked = "[...document.querySelectorAll('{}[aria-current]')].map(b => b.textContent)"
    for seconds, now, following in (
        (0.5, "N.C.", "Bb"),
        (1.0, "Bb", "Dm7"),
        (4.9, "Dm7", "Ebmaj7"),
        (9.5, "Bb/D", "Edim7"),
        (13.5, "?", "Bb6"),
        (16.0, "Bb6", "End"),
    ):
        at(shown, seconds)
        assert (text(shown, "now-name"), text(shown, "next-name")) == (now, following)
        assert shown.run(marked.format(".block")) == [now]
        # The chart begins with the first bar, after the silence.
        assert set(shown.run(marked.format(".cell"))) == {now} - {"N.C."}


def test_of_the_bars_of_a_long_chord_the_one_that_sounds_is_marked(shown: Browser) -> None:
    bars = "[...document.querySelectorAll('.bar')]"
    marked = f"{bars}.flatMap((bar, n) => bar.classList.contains('here') ? [n] : [])"
    starts = shown.run("song.bars.map(bar => bar[0])")
    at(shown, 0.5)
    assert shown.run(marked) == []
    for n, start in enumerate(starts):
        at(shown, start + 0.1)
        assert shown.run(marked) == [n]


def test_it_plays_and_the_chord_follows(shown: Browser) -> None:
    at(shown, 2.6)
    shown.run("document.getElementById('play').click()")
    assert shown.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    shown.wait("document.getElementById('now-name').textContent === 'Dm7'")
    assert shown.run("audio.currentTime") >= 3.0
    shown.run("document.getElementById('play').click()")
    assert shown.run("audio.paused") is True


def test_the_name_of_a_chord_that_has_begun_stays_in_sight(browser: Browser, page: str) -> None:
    browser.open(page, 390, 844, phone=True)
    at(browser, 2.0)
    browser.run("scrolledByHand = performance.now(); $('timeline').scrollLeft = 80; 0")
    left = "{}.getBoundingClientRect().left"
    block = browser.run(left.format("document.querySelector('.block[aria-current]')"))
    view = browser.run(left.format("$('timeline')"))
    name = browser.run(left.format("document.querySelector('.block[aria-current] span')"))
    assert block < view <= name < view + 20


def test_it_transposes_names_diagrams_and_key(shown: Browser) -> None:
    at(shown, 2.0)
    before = shown.run("document.querySelector('#now-guitar svg').getAttribute('aria-label')")
    for _ in range(2):
        shown.run("document.getElementById('up').click()")
    assert (text(shown, "now-name"), text(shown, "key")) == ("C", "C major")
    assert text(shown, "transpose") == "+2"
    assert shown.run("document.querySelector('.cell[aria-current]').textContent") == "C"
    after = shown.run("document.querySelector('#now-guitar svg').getAttribute('aria-label')")
    assert before != after == "Guitar, low to high: mute 3 2 open 1 open"
    piano = shown.run("document.querySelector('#now-piano svg').getAttribute('aria-label')")
    assert piano == "Piano: C E G"
    for _ in range(3):
        shown.run("document.getElementById('down').click()")
    assert (text(shown, "now-name"), text(shown, "transpose")) == ("A", "\N{MINUS SIGN}1")


def test_a_capo_changes_what_is_played_and_not_what_sounds(shown: Browser) -> None:
    at(shown, 2.0)
    for _ in range(3):
        shown.run("document.getElementById('capo-up').click()")
    assert text(shown, "now-name") == "G"
    assert text(shown, "piano-caption") == "sounds Bb"
    assert text(shown, "key") == "Bb major (as G major)"
    piano = shown.run("document.querySelector('#now-piano svg').getAttribute('aria-label')")
    assert piano == "Piano: Bb D F"


def test_a_page_made_for_a_capo_knows_what_sounds(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "capo.html"
    target.write_bytes(render(SONG, "html", FormatOptions(capo=3)))
    browser.open(target.as_uri())
    at(browser, 2.0)
    assert text(browser, "now-name") == "Bb"
    assert text(browser, "piano-caption") == "sounds Db"
    assert text(browser, "capo") == "3"


def test_a_section_is_looped(shown: Browser) -> None:
    at(shown, 7.5)
    shown.run("document.getElementById('loop-from').click()")
    at(shown, 8.5)
    shown.run("document.getElementById('loop-to').click()")
    assert text(shown, "loop") == "0:07\N{EN DASH}0:09"
    at(shown, 8.7)
    shown.run("document.getElementById('play').click()")
    shown.wait("now() < 8.5")
    assert shown.run("now()") >= 7.0
    shown.run("document.getElementById('loop-clear').click()")
    assert shown.run("state.loop") is None


def test_it_is_played_with_the_keyboard_alone(shown: Browser) -> None:
    at(shown, 1.0)
    shown.key("ArrowRight")
    shown.wait("document.getElementById('now-name').textContent === 'Dm7'")
    shown.key("ArrowLeft")
    shown.wait("document.getElementById('now-name').textContent === 'Bb'")
    shown.key("+")
    assert text(shown, "now-name") == "B"
    shown.key("-")
    shown.key("c")
    assert text(shown, "capo") == "1"
    shown.key("C")
    shape = "document.querySelector('#now-guitar svg').getAttribute('aria-label')"
    before = shown.run(shape)
    shown.key("s")
    assert shown.run(shape) != before
    shown.key("<")
    assert shown.run("audio.playbackRate") == 0.9
    shown.key("?")
    assert shown.run("document.getElementById('keys').open") is True
    shown.run("document.getElementById('keys').close()")
    shown.wait("document.activeElement === document.body")
    shown.key(" ")
    shown.wait("!audio.paused")
    shown.key(" ")
    shown.wait("audio.paused")


def press(shown: Browser, selector: str) -> None:
    """Click as a person does, with the pointer."""
    x, y = shown.run(
        f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        shown.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def test_after_a_click_on_a_chord_the_space_bar_plays_and_arrows_step(shown: Browser) -> None:
    press(shown, '.block[data-segment="2"]')
    shown.wait("document.getElementById('now-name').textContent === 'Dm7'")
    shown.key(" ")
    shown.wait("!audio.paused && now() > 3.1")
    shown.key(" ")
    shown.wait("audio.paused")
    shown.key("ArrowRight")
    shown.wait("document.getElementById('now-name').textContent === 'Ebmaj7'")


def test_a_click_on_a_later_bar_of_a_long_chord_goes_to_that_bar(
    browser: Browser, tmp_path: Path
) -> None:
    beats = tuple(n / 2 for n in range(16))
    song = Transcription((Segment(0.0, 8.0, "C"),), 8.0, beats=beats, downbeats=beats[::4])
    target = tmp_path / "long.html"
    target.write_bytes(render(song, "html", FormatOptions()))
    browser.open(target.as_uri())
    browser.run("document.querySelectorAll('.cell')[2].click()")
    assert browser.run("now()") == 4.0


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


def test_one_tab_stop_leads_into_the_timeline_and_arrows_move_on(shown: Browser) -> None:
    stops = "document.querySelectorAll('.block[tabindex=\"0\"]').length"
    assert shown.run(stops) == 1
    shown.run("document.querySelector('.block').focus()")
    shown.key("ArrowRight")
    assert shown.run("document.activeElement.textContent") == "Bb"
    assert shown.run(stops) == 1
    label = shown.run("document.activeElement.getAttribute('aria-label')")
    assert label == "Bb, 0:01 to 0:03, 90% sure, or Gm 5%, Bbmaj7 3%, Dm 1%"
    assert "or Gm5%" in text(shown, "tip")


def test_the_pointer_shows_the_top_three_alternatives(shown: Browser) -> None:
    assert shown.run("document.getElementById('tip').hidden") is True
    shown.hover('.block[data-segment="1"]')
    shown.wait("!document.getElementById('tip').hidden")
    assert text(shown, "tip") == "0:01\N{EN DASH}0:03Bb90%or Gm5%or Bbmaj73%or Dm1%"


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


def test_a_hostile_title_is_only_a_title(browser: Browser, tmp_path: Path) -> None:
    title = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 1'>"
    song = replace(SONG, metadata={"title": title, "artist": title})
    target = tmp_path / "hostile.html"
    target.write_bytes(render(song, "html", FormatOptions()))
    browser.open(target.as_uri())
    assert browser.run("document.querySelector('h1').textContent") == title
    assert browser.run("typeof window.owned") == "undefined"
    assert browser.problems() == []


def test_without_its_recording_it_runs_silently(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "linked.html"
    missing = tmp_path / "missing.mp3"
    target.write_bytes(render(SONG, "html", FormatOptions(audio=missing, target=target)))
    browser.open(target.as_uri())
    browser.wait("!document.getElementById('problem').hidden")
    assert browser.run("document.getElementById('choose').hidden") is False
    at(browser, 2.7)
    browser.run("document.getElementById('play').click()")
    browser.wait("document.getElementById('now-name').textContent === 'Dm7'")
    browser.run("seek(17.1)")
    browser.wait("!playing()")
    assert browser.run("now()") == SONG.seconds


def test_a_song_without_bars_or_chords_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    target = tmp_path / "plain.html"
    target.write_bytes(render(replace(SONG, beats=(), downbeats=()), "html", FormatOptions()))
    browser.open(target.as_uri())
    assert browser.run("document.querySelectorAll('.cell').length") == len(SONG.segments)
    assert browser.run("document.querySelectorAll('.cell')[1].textContent") == "Bb0:01"
    target.write_bytes(
        render(
            replace(SONG, segments=(), seconds=0.0, beats=(), downbeats=()), "html", FormatOptions()
        )
    )
    browser.open(target.as_uri())
    browser.key("ArrowRight")
    browser.key(" ")
    assert browser.problems() == []


def test_the_screenshot_of_the_docs(shown: Browser) -> None:
    at(shown, 5.6)
    shown.hover('.block[data-segment="4"]')
    shown.wait("!document.getElementById('tip').hidden")
    assert text(shown, "now-name") == "Ebmaj7"
    screenshot(shown, "page.png")


def screenshot(shown: Browser, name: str) -> None:
    """Keep a picture if somebody asked for pictures."""
    folder = os.environ.get("CHORDTOOL_SCREENSHOTS")
    if folder:
        shown.run("new Promise(done => setTimeout(done, 300))")
        shown.screenshot(Path(folder) / name)
