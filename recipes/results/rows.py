"""Rows that were written down: ``rows/NAME.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from chordtool.errors import UsageError

SCHEMA: Final = 1
"""Version of the documents' layout."""


def read_row(file: Path) -> dict[str, Any] | None:
    """A row that was written down; ``None`` if it was not.

    Raises:
        UsageError: the file is something else.
    """
    if not file.exists():
        return None
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if document["schema"] == SCHEMA and {"row", "scores", "method"} <= document.keys():
            found: dict[str, Any] = document
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise UsageError(f"{file} is no row of this table.", hint="Move it away.")
