"""What the page on configuration says is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chordtool import parser, settings

pytestmark = pytest.mark.usefixtures("no_variables")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "configuration.md"


def test_the_example_file_is_accepted_and_does_what_it_says() -> None:
    text = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    document = settings._parse(PAGE, text.encode())
    found = settings.in_force(document, PAGE, parser.whole_program(), parser.COMMANDS)
    from_file = {setting.name: setting.value for setting in found if setting.source == "file"}
    assert from_file == {
        "models-folder": "/data/models",
        "transcribe.model": "default",
        "transcribe.jobs": 4,
        "transcribe.format": ["lab", "json"],
        "models.download.offline": True,
    }


def test_every_general_setting_is_in_the_table_with_its_variable() -> None:
    rows = re.findall(
        r"^\| (?:`([\w-]+)`)? *\| `(CHORDTOOL_\w+)` \|", PAGE.read_text(), re.MULTILINE
    )
    assert {key: variable for key, variable in rows if key} == settings.GENERAL
    others = {variable for key, variable in rows if not key}
    assert others == {settings.CONFIG_ENV, settings.DEBUG_ENV}
