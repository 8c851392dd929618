"""The page is used: played, transposed, looped, with the pointer and with the keyboard."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from chordtool.formats import FormatOptions, render
from chordtool.segments import Segment, Transcription
from tests.browser import Browser
from tests.page.steps import at, press, slowly, text
from tests.songs import SONG


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


def marked_is_what_sounds(shown: Browser) -> None:
    """Wait until the chord of this very moment is the one that is marked."""
    marked = "$('timeline').querySelector('[aria-current]').dataset.segment"
    shown.wait(f"Number({marked}) === last(song.segments, now())")


def test_it_plays_and_the_chord_follows(shown: Browser) -> None:
    at(shown, 2.6)
    slowly(shown)
    shown.run("document.getElementById('play').click()")
    assert shown.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    shown.wait("document.getElementById('now-name').textContent !== 'Bb'")
    assert shown.run("audio.currentTime") >= 3.0
    shown.run("document.getElementById('play').click()")
    assert shown.run("audio.paused") is True
    marked_is_what_sounds(shown)


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
    slowly(shown)
    shown.run("document.getElementById('play').click()")
    shown.wait("now() < 8.5")
    assert shown.run("now()") >= 7.0
    shown.run("document.getElementById('loop-clear').click()")
    assert shown.run("state.loop") is None


def test_a_loop_to_the_end_goes_on_if_the_recording_ends_a_moment_earlier(shown: Browser) -> None:
    # Its length is rounded here, and decoders do not agree on that of an mp3.
    shown.run("song.seconds = song.segments.at(-1)[1] = audio.duration + 0.01")
    at(shown, 15.0)
    shown.run("document.getElementById('loop-from').click()")
    at(shown, 16.9)
    shown.run("document.getElementById('play').click()")
    shown.wait("now() < 16 && playing()")
    assert shown.run("now()") >= 14.25


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


def test_after_a_click_on_a_chord_the_space_bar_plays_and_arrows_step(shown: Browser) -> None:
    press(shown, '.block[data-segment="2"]')
    shown.wait("document.getElementById('now-name').textContent === 'Dm7'")
    slowly(shown)
    shown.key(" ")
    shown.wait("!audio.paused && now() > 3.1")
    shown.key(" ")
    shown.wait("audio.paused")
    at(shown, 3.1)  # wherever it got to
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
    slowly(browser)
    browser.run("document.getElementById('play').click()")
    browser.wait("document.getElementById('now-name').textContent !== 'Bb'")
    assert browser.run("now()") >= 3.0
    marked_is_what_sounds(browser)
    browser.run("seek(17.1)")
    browser.wait("!playing()")
    assert browser.run("now()") == SONG.seconds


def test_a_recording_that_breaks_off_leaves_the_page_where_it_was(shown: Browser) -> None:
    at(shown, 9.5)
    shown.run("audio.dispatchEvent(new Event('error'))")
    assert text(shown, "problem").startswith("The recording cannot be played here.")
    assert abs(shown.run("now()") - 9.5) < 0.01


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
