"""The documentation says what is so: its commands run, its pages agree with the code."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chordtool
from chordtool import parser, plugins
from chordtool.beats import Beats, BeatTracker
from chordtool.decoding import Decoding
from chordtool.errors import ExitCode
from chordtool.formats import Format, FormatOptions
from chordtool.spelling import Spelling
from chordtool.vocabulary import CHORD_TONES, ROOTS, label_of, parse
from tests import browser, documented
from tests.documented import ROOT, Example
from tests.songs import SONG

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NOT_RUN = {
    "pipx install .": "fetches from the registry what the program needs",
    "pip install '.[cluster]'": "fetches packages from their registry",
    "pip install -e '.[dev]' && pytest": "this is how the test itself was started",
    "chordtool models download btc": "fetches 12 MB from GitHub",
    "chordtool transcribe --model btc examples/clip.mp3": "needs the download before it",
    "chordtool --install-completion": "edits the start-up file of the shell it finds above it",
}
"""Commands that the pages show and no test runs, and why."""

WITH_FIGURES = (
    "results", "reproduction", "models/default-training", "guides/repeat-the-paper",
)  # fmt: skip
"""Pages whose tables have many columns."""
WITH_EXAMPLES = [page for page in documented.pages() if documented.examples(page)]


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=_name)
def test_the_commands_of_a_page_run_one_after_the_other(page: Path, tmp_path: Path) -> None:
    environment = documented.make_sandbox(tmp_path)
    examples = [e for e in documented.examples(page) if e.code not in NOT_RUN]
    if page.name == "repeat-the-paper.md":
        # All is there twice, for one student and the other; 2E1D trains in the tests of training.
        examples = [e for e in examples if "2e1d" not in e.code]
    if any(_needs_teachers(e) for e in examples) and "CHORDTOOL_MODELS" not in environment:
        pytest.skip("../shared is not here: the page uses models that are downloaded")
    for example in examples:
        status, printed = documented.run(example, tmp_path, environment)
        assert status == 0, f"{example.code}\n{printed}"
        if example.output:
            assert documented.matches(example.output, printed), f"{example.code}\n{printed}"


def test_commands_that_would_take_hours_have_options_that_exist() -> None:
    program = parser.whole_program()
    seen = 0
    for page in documented.pages():
        for text in documented.other_commands(page):
            module, name, flags = documented.parts(text)
            if module == "chordtool":
                known = {o for p in program.commands[name].params for o in p.opts}
            else:
                command = [sys.executable, "-m", module, "--help"]
                shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
                known = set(re.findall(r"(?<!\w)--?[a-z][\w-]*", shown.stdout))
            assert set(flags) <= known, f"{_name(page)}: {text}"
            seen += 1
    assert seen > 10


def _needs_teachers(example: Example) -> bool:
    return any(word in example.code.split() for word in ("lv", "crema"))


@pytest.mark.parametrize("command", NOT_RUN)
def test_a_command_that_is_not_run_has_a_reason(command: str) -> None:
    shown = {e.code for page in WITH_EXAMPLES for e in documented.examples(page)}
    assert command in shown, "no page shows it any more: take it off the list"
    pytest.skip(NOT_RUN[command])


def test_a_difference_in_what_is_printed_is_noticed() -> None:
    assert documented.matches("a\n...\nz", "a\nb\nc\nz\n")
    assert documented.matches("0.00 ... G", "0.00  2.14  G  ")
    assert not documented.matches("a\n...\nz", "a\nb\nc")


def test_commands_are_found_with_their_continuations_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ one \\\n    two\nout\n$ three\n```\n```sh\n$ four\n```\n")
    assert documented.examples(page) == [
        Example("console", "one \\\n    two", "out"),
        Example("console", "three", ""),
    ]


def test_the_reference_of_commands_is_what_the_program_says() -> None:
    generator = runpy.run_path(str(ROOT / "docs" / "generate_reference.py"))
    differences = list(
        generator["differences"](generator["reference"](), _text("reference/cli.md"))
    )
    assert not differences, "run: python docs/generate_reference.py\n" + "\n".join(differences)


def _options(command: Any) -> Iterator[Any]:
    yield from command.params
    for inner in getattr(command, "commands", {}).values():
        yield from _options(inner)


def test_help_in_the_terminal_has_the_defaults_and_all_formats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    helps = [str(getattr(option, "help", "")) for option in _options(parser.whole_program())]
    # What looks like markup would be left out.
    assert not [text for text in helps if re.search(r"(?<!\\)\[[a-z#/@]", text)]
    for command, words in (
        ("distill", ["[default: 0.0003]", "[default: cosine]"]),
        ("transcribe", ["[default: lab]", *plugins.OWN["chordtool.formats"]]),
    ):
        assert parser.call([command, "--help"]) == ExitCode.OK
        shown = " ".join(
            capsys.readouterr().out.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", "").split()
        )
        assert [word for word in words if word not in shown] == []


def test_every_exit_status_is_in_the_reference() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", _text("reference/cli.md"), re.MULTILINE)
    assert [int(row) for row in rows] == [code.value for code in ExitCode]


def test_the_reference_of_python_has_all_public_names_and_no_others() -> None:
    names = re.findall(r"^::: ([\w.]+)$", _text("reference/api.md"), re.MULTILINE)
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert getattr(import_module(module), attribute).__doc__, name
    assert {f"chordtool.{name}" for name in chordtool.__all__} <= set(names)


def test_the_table_of_qualities_is_the_vocabulary() -> None:
    rows = {row[0]: row[1:] for row in _rows("concepts/vocabulary.md", "quality")}
    assert list(rows) == list(CHORD_TONES)
    for number, (quality, (tones, symbol)) in enumerate(rows.items()):
        assert tones == " ".join(map(str, CHORD_TONES[quality]))
        assert symbol == Spelling(ROOTS).symbol(label_of(number))


def test_labels_become_what_the_page_on_the_vocabulary_says() -> None:
    for labels, becomes, _ in _rows("concepts/vocabulary.md", "label"):
        wanted = re.findall(r"[^`, ]+", becomes)
        for n, label in enumerate(re.findall(r"[^`, ]+", labels)):
            chord, want = parse(label), parse(wanted[min(n, len(wanted) - 1)])
            assert (chord.quality, chord.root if want.root is not None else None) == (
                want.quality,
                want.root,
            ), label


def test_the_defaults_of_decoding_are_those_on_its_page() -> None:
    rows = {row[0]: row[1] for row in _rows("concepts/decoding.md", "parameter")}
    decoding = Decoding()
    assert rows == {f.name: str(getattr(decoding, f.name)) for f in fields(Decoding)}


def test_the_card_of_the_default_model_and_its_page_agree() -> None:
    card, page = chordtool.load_model("default").card, _text("models/default.md")
    rows = {row[0]: row[1] for row in _rows("models/default.md", "")}
    assert card.architecture.upper() in rows["Architecture"]
    assert rows["Licence"] == card.licence
    assert f"costs {card.decoding.change_penalty:g} nats" in rows["Decoding"]
    assert f"{card.segment_frames} frames" in rows["Sees"]
    for number in (card.front_end.hop_length, card.front_end.n_bins):
        assert str(number) in rows["Front end"]
    for font in ("FluidR3", "TimGM6mb", "GMbank", "OPL-3"):
        assert (font in json.dumps(card.training)) == (font in page)


def test_every_dependency_is_listed_with_its_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = list(project["dependencies"])
    for extra in extras:
        needed += extras[extra] if extra not in ("dev", "docs") else []
    stated = {row[0]: row[1] for row in _rows("licences.md", "package")}
    assert set(stated) == {re.match(r"[\w.-]+", requirement)[0] for requirement in needed}
    for package, licence in stated.items():
        found = _licence_of(package)
        assert not found or _family(licence) in found, f"{package}: {licence}, but it says {found}"


def _licence_of(package: str) -> str:
    """What an installed package says of its licence; empty if it is not here."""
    try:
        about = metadata(package)
    except PackageNotFoundError:
        return ""
    kinds = [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
    return " ".join([about.get("License-Expression") or "", about.get("License") or "", *kinds])


def _family(licence: str) -> str:
    return licence.partition("-")[0]


def test_the_format_and_the_beat_tracker_of_the_plug_ins_page_work() -> None:
    names: dict[str, Any] = {"Format": Format, "BeatTracker": BeatTracker, "Beats": Beats}
    blocks = re.findall(r"^```python\n(.*?)^```", _text("plugins.md"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        if "SHOUT =" in block or "METRONOME =" in block:
            exec(block, names)
    heard = names["METRONOME"].track(np.zeros(22050, np.float32), 22050)
    assert heard == Beats((0.0, 0.5), (0.0,))
    assert names["SHOUT"].write(SONG, FormatOptions()).startswith(b"N\nA#\nD:MIN7\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation as a site; links that lead nowhere fail it."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    pytest.importorskip("mkdocstrings_handlers.python", reason="the extra `docs` is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def test_the_site_builds_and_no_link_is_broken(site: Path) -> None:
    assert (site / "reference" / "cli" / "index.html").is_file()


@pytest.mark.skipif(browser.find() is None, reason="chromium is not installed")
def test_copied_commands_can_be_pasted_and_tables_of_figures_fit(site: Path) -> None:
    with browser.launched(str(browser.find())) as page:
        page.open((site / "guides" / "first-song" / "index.html").as_uri())
        page.wait("document.querySelector('.highlight button') !== null")
        page.run("document.execCommand = () => (window.copied = document.activeElement.value)")
        copied = [
            page.run(f"document.querySelectorAll('.highlight button')[{n}].click() || copied")
            for n in range(page.run("document.querySelectorAll('.highlight button').length"))
        ]
        assert copied[0] == "pipx install ."
        assert "chordtool convert examples/clip.lab - --format chart" in copied
        assert not [text for text in copied if text.startswith(("$", ">>>")) or "Key:" in text]
        wide = "[...document.querySelectorAll('.md-typeset__scrollwrap')]"
        for name in WITH_FIGURES:
            page.open((site / name / "index.html").as_uri())
            page.wait(f"{wide}.length > 0")
            assert page.run(f"{wide}.filter(e => e.scrollWidth > e.clientWidth).length") == 0, name


def _rows(page: str, heading: str) -> Iterator[list[str]]:
    """The rows of a page's tables whose first column has that heading; code marks taken off."""
    wanted = False
    for line in _text(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            wanted = False
        elif cells[0] == heading:
            wanted = True
        elif wanted and not set(cells[0]) <= set("-"):
            yield [cell.strip("`") for cell in cells]


def _text(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")
