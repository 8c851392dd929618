"""Downloads from a local server that drops, lies and stalls."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from chordtool import catalogue
from chordtool.catalogue import CatalogueEntry, WeightFile
from chordtool.download import Patience, download
from chordtool.errors import ExitCode, ModelUnavailableError
from tests.mirror import (
    CONTENT,
    Handler,
    Mirror,
    answer,
    endless,
    serve,
    stall,
    without_ranges,
    wrong_range,
)

FILE = WeightFile(
    name="fake/model.onnx",
    repository="someone/something",
    commit="0" * 40,
    path="models/a (1).onnx",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
)
UNSTATED = WeightFile(FILE.name, FILE.repository, FILE.commit, FILE.path, FILE.sha256)
PATIENCE = Patience(stall_seconds=10, attempts=3, backoff_seconds=0.01)
"""A server that a busy machine holds up has not stalled."""
HASTE = Patience(stall_seconds=1.0, attempts=3, backoff_seconds=0.01)
"""For servers that do stall."""


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    bound: type[Handler] = type("Bound", (Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    bound.mirror = Mirror(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv(catalogue.URL_ENV, bound.mirror.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield bound.mirror
    bound.mirror.stop.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(catalogue, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv(catalogue.MODELS_ENV, raising=False)
    offer(monkeypatch, FILE)
    return tmp_path / "cache" / "fake" / "model.onnx"


def offer(monkeypatch: pytest.MonkeyPatch, file: WeightFile) -> None:
    entry = CatalogueEntry("fake", (file,), "MIT", "us", "A fake.")
    monkeypatch.setitem(catalogue.CATALOGUE, "fake", entry)


def part_of(target: Path) -> Path:
    return catalogue.part_path(target, FILE)


def test_a_file_arrives_whole_and_nothing_else_stays(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve()]
    seen: list[int] = []
    paths = download(
        "fake", patience=PATIENCE, progress=lambda _file, have, _total: seen.append(have)
    )
    assert paths == (target,)
    assert target.read_bytes() == CONTENT
    assert seen[0] == 0
    assert seen[-1] == len(CONTENT)
    assert seen == sorted(seen)
    assert [p.name for p in target.parent.iterdir() if p.name != ".lock"] == ["model.onnx"]


def test_what_is_here_is_not_fetched_again(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve()]
    download("fake", patience=PATIENCE)
    download("fake", patience=PATIENCE)
    assert len(mirror.ranges) == 1


def test_a_damaged_file_is_fetched_again(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve()]
    target.parent.mkdir(parents=True)
    target.write_bytes(CONTENT[:-1] + b"!")
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


def test_a_dropped_connection_is_resumed_where_it_broke(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve(upto=70_000), serve(upto=150_000), serve()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges == [None, "bytes=70000-", "bytes=150000-"]


def test_progress_counts_as_patience_regained(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve(upto=20_000 * k) for k in range(1, 11)] + [serve()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


def test_a_later_run_goes_on_from_the_part(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve(upto=70_000)]
    with pytest.raises(ModelUnavailableError, match="70000 of 204800"):
        download("fake", patience=PATIENCE)
    assert not target.exists()
    assert part_of(target).read_bytes() == CONTENT[:70_000]
    mirror.ranges.clear()
    mirror.behaviours = [serve()]
    download("fake", patience=PATIENCE)
    assert mirror.ranges == ["bytes=70000-"]
    assert target.read_bytes() == CONTENT
    assert not part_of(target).exists()


def test_a_server_that_ignores_ranges_still_gives_the_right_file(
    mirror: Mirror, target: Path
) -> None:
    mirror.behaviours = [without_ranges(upto=70_000), without_ranges()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_ranges_and_always_drops_is_given_up(
    mirror: Mirror, target: Path
) -> None:
    mirror.behaviours = [without_ranges(upto=70_000), without_ranges(upto=9)] * 20
    with pytest.raises(ModelUnavailableError):
        download("fake", patience=PATIENCE)
    assert len(mirror.ranges) <= 4


def test_a_range_that_does_not_follow_is_not_appended(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve(upto=70_000), wrong_range]
    download("fake", patience=PATIENCE)
    assert mirror.ranges == [None, "bytes=70000-", None]
    assert target.read_bytes() == CONTENT


def test_a_stale_part_costs_one_start_from_nothing(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve()]
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(b"not the beginning of it")
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges == ["bytes=23-", None]


@pytest.mark.parametrize("extra", [0, 1])
def test_a_part_as_long_as_the_file_or_longer_is_not_trusted(
    extra: int, mirror: Mirror, target: Path
) -> None:
    mirror.behaviours = [serve()]
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(bytes(len(CONTENT) + extra))
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


def test_a_complete_part_needs_no_network(target: Path, mirror: Mirror) -> None:
    mirror.behaviours = [answer(500)]
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(CONTENT)
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges == []


def test_wrong_bytes_never_get_the_files_name(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve(bytes(len(CONTENT)))]
    with pytest.raises(ModelUnavailableError, match="not what was published") as caught:
        download("fake", patience=PATIENCE)
    assert caught.value.exit_code == ExitCode.MODEL_UNAVAILABLE
    assert not target.exists()
    assert not part_of(target).exists()
    assert len(mirror.ranges) == 1


@pytest.mark.parametrize("size", [1_000, 300_000])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(
    size: int, mirror: Mirror, target: Path
) -> None:
    mirror.behaviours = [serve(bytes(size))]
    with pytest.raises(ModelUnavailableError, match=f"{size} bytes instead of 204800"):
        download("fake", patience=PATIENCE)
    assert not target.exists()


def test_a_server_that_never_stops_sending_is_cut_off(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [endless]
    with pytest.raises(ModelUnavailableError, match="more than 204800 bytes"):
        download("fake", patience=PATIENCE)
    assert not target.exists()


def test_a_file_of_unstated_size_is_bounded_too(
    mirror: Mirror, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, UNSTATED)
    monkeypatch.setattr("chordtool.download.MAX_UNSTATED_BYTES", 100_000)
    mirror.behaviours = [endless]
    with pytest.raises(ModelUnavailableError, match="more than 100000 bytes"):
        download("fake", patience=PATIENCE)
    mirror.behaviours = [serve()]
    with pytest.raises(ModelUnavailableError, match="204800 bytes"):
        download("fake", patience=PATIENCE)


def test_a_file_of_unstated_size_is_resumed_and_checked(
    mirror: Mirror, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, UNSTATED)
    mirror.behaviours = [serve(upto=70_000), serve()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT
    assert mirror.ranges == [None, "bytes=70000-"]


def test_a_stalled_connection_is_dropped_and_resumed(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [stall(upto=70_000), serve()]
    start = time.perf_counter()
    download("fake", patience=HASTE)
    assert time.perf_counter() - start < 30
    assert target.read_bytes() == CONTENT
    assert mirror.ranges == [None, "bytes=70000-"]


def test_a_server_that_only_stalls_is_given_up(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [stall(upto=0)]
    with pytest.raises(ModelUnavailableError, match="silent"):
        download("fake", patience=HASTE)
    assert len(mirror.ranges) == HASTE.attempts


def test_a_missing_file_is_not_asked_for_again(mirror: Mirror) -> None:
    mirror.behaviours = [answer(404)]
    with pytest.raises(ModelUnavailableError, match="404") as caught:
        download("fake", patience=PATIENCE)
    assert len(mirror.ranges) == 1
    assert catalogue.MODELS_ENV in caught.value.hint
    assert "chordtool models download fake." in caught.value.hint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status: int, mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [answer(status), answer(status), serve()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


def test_nobody_listening_is_an_error_that_names_the_file(
    monkeypatch: pytest.MonkeyPatch, mirror: Mirror
) -> None:
    monkeypatch.setenv(catalogue.URL_ENV, "http://127.0.0.1:9")
    with pytest.raises(ModelUnavailableError, match=r"fake/model\.onnx"):
        download("fake", patience=PATIENCE)


def test_a_redirect_on_this_machine_is_followed(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [answer(302, Location=f"{mirror.url}/elsewhere"), serve()]
    download("fake", patience=PATIENCE)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "location", ["http://example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"]
)
def test_a_redirect_away_from_https_is_refused(location: str, mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [answer(302, Location=location)]
    with pytest.raises(ModelUnavailableError, match=r"not an https address|answers 302"):
        download("fake", patience=PATIENCE)
    assert len(mirror.ranges) == 1
    assert not target.exists()


@pytest.mark.parametrize(
    "base",
    [
        "http://example.org",
        "file:///tmp",
        "nonsense",
        "http://[",
        "https://127.0.0.1:1/\N{LATIN SMALL LETTER E WITH ACUTE}",
        "https://\N{LATIN SMALL LETTER E WITH ACUTE}..x",
    ],
)
def test_a_mirror_must_be_https_or_on_this_machine(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.URL_ENV, base)
    with pytest.raises(ModelUnavailableError, match="address"):
        download("fake", patience=PATIENCE)


def test_offline_fetches_nothing_and_says_what_is_missing(mirror: Mirror, target: Path) -> None:
    mirror.behaviours = [serve()]
    with pytest.raises(ModelUnavailableError, match="offline"):
        download("fake", patience=PATIENCE, offline=True)
    assert mirror.ranges == []
    download("fake", patience=PATIENCE)
    assert download("fake", patience=PATIENCE, offline=True) == (target,)
    assert len(mirror.ranges) == 1


def test_a_folder_of_ones_own_is_filled(mirror: Mirror, target: Path, tmp_path: Path) -> None:
    mirror.behaviours = [serve()]
    (path,) = download("fake", patience=PATIENCE, folder=tmp_path / "mine")
    assert path == tmp_path / "mine" / FILE.name
    assert path.read_bytes() == CONTENT
    assert not target.exists()


def test_two_downloads_at_once_fetch_once(mirror: Mirror, target: Path) -> None:
    def slowly(handler: Handler) -> None:
        time.sleep(0.2)
        serve()(handler)

    mirror.behaviours = [slowly]
    threads = [
        threading.Thread(target=download, args=("fake",), kwargs={"patience": PATIENCE})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert len(mirror.ranges) == 1


def test_a_folder_that_cannot_be_written_is_an_error_that_says_so(
    mirror: Mirror, tmp_path: Path
) -> None:
    mirror.behaviours = [serve()]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelUnavailableError, match="cannot be written") as caught:
        download("fake", patience=PATIENCE, folder=tmp_path / "file")
    assert "--to" in caught.value.hint
