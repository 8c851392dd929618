"""Text of others, as a terminal may see it."""

from __future__ import annotations

import os
import re
from typing import Final

_CONTROLS: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+"
)
_LONGEST: Final = 200


def printable(text: str) -> str:
    """File names and tags, with U+FFFD for control characters and lone surrogates."""
    # Of lone surrogates, some stand for bytes of a file name; the others are half of a pair.
    whole = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    encoded = whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in encoded)


def one_line(text: str) -> str:
    """A tag on one line, blanks for control characters, at most 200 characters."""
    return _CONTROLS.sub(" ", text[: 5 * _LONGEST]).strip()[:_LONGEST]


def shown(path: os.PathLike[str] | str) -> str:
    """A file name on one line, whatever bytes it is made of."""
    return one_line(os.fsencode(path).decode("utf-8", errors="replace"))
