"""What mkdocs does on top of itself: references in docstrings become code."""

from __future__ import annotations

import re
from typing import Any

_ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):<code>~?([^<]*)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings refer to names in Sphinx's way, which Markdown does not know."""
    return _ROLE.sub(r"<code>\1</code>", html)
