"""What a visitor does and sees. ``CHORDTOOL_SCREENSHOTS=docs/images`` keeps pictures."""

from __future__ import annotations

import os
from pathlib import Path

from tests.browser import Browser


def text(shown: Browser, identity: str) -> str:
    return str(shown.run(f"document.getElementById('{identity}').textContent"))


def at(shown: Browser, seconds: float) -> None:
    """Move to a time and wait until the browser is there."""
    shown.run(f"seek({seconds})")
    shown.wait(f"Math.abs(now() - {seconds}) < 0.01 && !audio.seeking")
    shown.run("draw()")


def slowly(shown: Browser) -> None:
    """Choose the least speed: what is seen in passing is seen on a busy machine too."""
    shown.run("speed(-9)")


def press(shown: Browser, selector: str) -> None:
    """Click as a person does, with the pointer."""
    x, y = shown.run(
        f"(r => [r.x + r.width / 2, r.y + r.height / 2])"
        f"(document.querySelector({selector!r}).getBoundingClientRect())"
    )
    for kind in ("mousePressed", "mouseReleased"):
        shown.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def screenshot(shown: Browser, name: str) -> None:
    """Keep a picture if somebody asked for pictures."""
    folder = os.environ.get("CHORDTOOL_SCREENSHOTS")
    if folder:
        shown.run("new Promise(done => setTimeout(done, 300))")
        shown.screenshot(Path(folder) / name)
