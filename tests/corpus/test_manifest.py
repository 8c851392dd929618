from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordtool.corpus.manifest import FAILED, LABELLED, Manifest, Row
from chordtool.errors import CorpusError


def row(path: str | None, **more: object) -> Row:
    return Row(path=path, status=LABELLED, audio_sha256="ab" * 32, **more)  # type: ignore[arg-type]


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(tmp_path / "manifest.jsonl", tmp_path / ".lock")


@given(st.text() | st.binary().map(lambda b: b.decode("utf-8", "surrogateescape")))
def test_any_path_survives_on_one_line(path: str) -> None:
    line = row(path).to_json()
    assert "\n" not in line
    assert line.isascii()
    assert Row.from_json(line) == row(path)


def test_a_number_that_json_does_not_know_is_not_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        row("/a.wav", statistics={"confidence": float("nan")}).to_json()


@given(st.text() | st.recursive(st.integers() | st.text(), st.lists).map(str))
def test_a_line_that_is_no_row_is_an_error_of_our_own(line: str) -> None:
    with pytest.raises(CorpusError):
        Row.from_json(line)


@pytest.mark.parametrize(
    "change",
    [
        ("labelled", "done"),
        ('"seconds":0.0', '"seconds":NaN'),
        ('"seconds":0.0', '"seconds":Infinity'),
        ('"seconds":0.0', f'"seconds":{10**400}'),
        ('"frames":0', '"frames":"0"'),
        ('"frames":0', f'"frames":{10**400}'),
        ('"frames":0', '"frames":true'),
    ],
)
def test_a_row_with_a_wrong_field_is_refused(change: tuple[str, str]) -> None:
    with pytest.raises(CorpusError):
        Row.from_json(row("/a").to_json().replace(*change))


def test_the_last_line_of_a_path_counts(manifest: Manifest) -> None:
    manifest.append(Row(path="/a", status=FAILED, error="broken"))
    manifest.append(row("/b"))
    manifest.append(row("/a"))
    rows, broken = manifest.read()
    assert broken == 0
    assert rows == {"/a": row("/a"), "/b": row("/b")}


def test_a_torn_line_is_dropped_by_the_next_writer(manifest: Manifest) -> None:
    manifest.append(row("/a"))
    whole = manifest.path.read_bytes()
    for cut in range(1, len(whole)):
        manifest.path.write_bytes(whole + whole[:cut])
        assert manifest.read() == ({"/a": row("/a")}, 0)
        manifest.append(row("/b"))
        assert manifest.read() == ({"/a": row("/a"), "/b": row("/b")}, 0)


def test_a_broken_line_in_the_middle_costs_only_itself(manifest: Manifest) -> None:
    manifest.append(row("/a"))
    with manifest.path.open("ab") as file:
        file.write(b"\xff\xfe{nonsense\n")
    manifest.append(row("/b"))
    rows, broken = manifest.read()
    assert set(rows) == {"/a", "/b"}
    assert broken == 1


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_without_end_is_not_kept_in_memory(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    monkeypatch.setattr("chordtool.corpus.manifest._LONGEST_LINE", 1024)
    manifest.append(row("/a"))
    with manifest.path.open("ab") as file:
        file.write(b"x" * 10_000 + ending)
    rows, broken = manifest.read()
    assert set(rows) == {"/a"}
    assert broken == len(ending)
    manifest.append(row("/b"))
    assert set(manifest.read()[0]) == {"/a", "/b"}


def test_compacting_sorts_and_drops_what_no_longer_counts(manifest: Manifest) -> None:
    for path in ("/b", "/a", "/b", None):
        manifest.append(row(path))
    assert set(manifest.compact()) == {"/a", "/b"}
    lines = manifest.path.read_text().splitlines()
    assert [Row.from_json(line).path for line in lines] == ["/a", "/b"]


def test_a_row_without_a_path_stays_while_nobody_else_has_its_audio(manifest: Manifest) -> None:
    manifest.append(row(None))
    assert len(manifest.compact()) == 1


def test_a_row_without_a_path_stays_beside_one_of_its_audio_that_failed(
    manifest: Manifest,
) -> None:
    manifest.append(row(None))
    manifest.append(Row(path="/a", status=FAILED, audio_sha256="ab" * 32, error="no memory"))
    assert {r.status for r in manifest.compact().values()} == {LABELLED, FAILED}


def _append_many(folder: str, name: str) -> None:
    manifest = Manifest(Path(folder) / "manifest.jsonl", Path(folder) / ".lock")
    for i in range(50):
        manifest.append(row(f"/{name}{i}"))
        if i % 10 == 0:
            manifest.compact()


def test_two_processes_lose_nothing(tmp_path: Path, manifest: Manifest) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_append_many, args=(str(tmp_path), n)) for n in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    rows, broken = manifest.read()
    assert set(rows) == {f"/{n}{i}" for n in "ab" for i in range(50)}
    assert broken == 0
