"""Hostile input gives the program's own errors, in bounded time and memory, and nothing else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chordtool.errors import ChordtoolError
from tests.fuzz import runs
from tests.fuzz.targets import TARGETS

INPUTS = {
    "label": 30_000, "lab": 3_500, "json": 1_200, "jams": 400, "manifest": 1_000, "corpus": 1_400,
    "recording": 4_000, "card": 12_000, "onnx": 3_000, "checkpoint": 2_000, "pickle": 2_500,
    "audio": 600,
}  # fmt: skip
"""How many of each target; they take about four seconds on one core."""
FOUND = sorted(p for p in (Path(__file__).parent / "regressions").glob("*/*") if p.is_file())


@pytest.mark.parametrize("name", TARGETS)
def test_only_our_errors_come_out(name: str) -> None:
    tally = runs.run(TARGETS[name], seed=1, count=INPUTS[name])
    assert not tally.findings, next(iter(tally.findings.items()))
    assert tally.executions > len(TARGETS[name].seeds()), "not one mutation was tried"
    # A manifest's readers leave out lines that are no rows.
    assert tally.refused or name == "manifest", "the mutations do not reach the checks"


@pytest.mark.parametrize("path", FOUND, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_what_was_found_once_stays_mended(path: Path) -> None:
    tally = runs.Tally()
    tally.one(TARGETS[path.parent.name], path.read_bytes())
    assert not tally.findings, next(iter(tally.findings.items()))


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_passes(name: str) -> None:
    for data in TARGETS[name].seeds():
        TARGETS[name].check(data)


def _tried(name: str, data: bytes) -> None:
    with suppress(ChordtoolError):
        TARGETS[name].check(data)


QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(["kind", "version", "segments", "start", "end", "label", "seconds",
                         "annotations", "namespace", "data", "schema", "front_end", "path",
                         "status", "teachers"]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@QUICK
@given(st.text(alphabet="ABCDEFGNX#b:/(),*0123456789majindusgh+ \t\u0660\u266d", max_size=24))
def test_any_text_is_a_label_or_a_label_error(text: str) -> None:
    _tried("label", text.encode())


@QUICK
@given(st.lists(st.tuples(st.floats(), st.floats(), st.text(max_size=6)), max_size=6))
def test_any_lines_are_a_lab_file_or_an_error(rows: list[tuple[float, float, str]]) -> None:
    _tried("lab", "\n".join(f"{a}\t{b}\t{c}" for a, b, c in rows).encode("utf-8", "replace"))


@pytest.mark.parametrize("name", ["json", "jams", "manifest", "corpus", "card"])
def test_any_json_is_a_document_or_an_error(name: str) -> None:
    import json

    @QUICK
    @given(DOCUMENTS)
    def check(document: object) -> None:
        _tried(name, json.dumps(document).encode() + b"\n")

    check()


@pytest.mark.parametrize("name", ["recording", "onnx", "checkpoint", "pickle", "audio"])
def test_any_bytes_are_refused_as_a_file(name: str) -> None:
    @QUICK
    @given(st.binary(max_size=300))
    def check(data: bytes) -> None:
        _tried(name, data)

    check()
