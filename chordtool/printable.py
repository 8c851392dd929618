"""Text of others, as a terminal may see it."""

from __future__ import annotations

import re


def printable(text: str) -> str:
    """File names and tags, with U+FFFD for control characters and lone surrogates."""
    # Of lone surrogates, some stand for bytes of a file name; the others are half of a pair.
    whole = re.sub("[\ud800-\udc7f\udd00-\udfff]", "\N{REPLACEMENT CHARACTER}", text)
    encoded = whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in encoded)
