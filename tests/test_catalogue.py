from __future__ import annotations

import errno
import hashlib
import json
import re
from pathlib import Path

import pytest

from chordtool import catalogue
from chordtool.catalogue import CatalogueEntry, WeightFile
from chordtool.errors import ExitCode, ModelUnavailableError, UsageError

CONTENT = b"weights"


def a_file(content: bytes = CONTENT) -> WeightFile:
    return WeightFile(
        name="fake/model.onnx",
        repository="someone/something",
        commit="0" * 40,
        path="models/a (1).onnx",
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(catalogue, "cache_folder", lambda: folder)
    monkeypatch.delenv(catalogue.MODELS_ENV, raising=False)
    monkeypatch.delenv(catalogue.URL_ENV, raising=False)
    monkeypatch.setitem(
        catalogue.CATALOGUE, "fake", CatalogueEntry("fake", (a_file(),), "MIT", "us", "A fake.")
    )
    return folder


def put(folder: Path, content: bytes = CONTENT) -> Path:
    path = folder / "fake" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_the_facts_are_those_of_the_published_files(shared: Path) -> None:
    facts = json.loads((shared / "teachers" / "catalogue.json").read_text())
    for name in ("btc", "lv", "crema"):
        entry = catalogue.CATALOGUE[name]
        fact = facts[name]
        hashes = fact["sha256"]
        assert [f.sha256 for f in entry.files] == ([hashes] if name == "btc" else hashes)
        assert {f.repository for f in entry.files} == {fact["repository"]}
        assert {f.commit for f in entry.files} == {fact["commit"]}
        assert entry.licence == fact["licence"]
        if "size" in fact:
            assert entry.files[0].size == fact["size"]
    assert [f.path for f in catalogue.CATALOGUE["lv"].files] == [
        facts["lv"]["path"].replace("{0..4}", str(fold)) for fold in range(5)
    ]
    assert [f.path for f in catalogue.CATALOGUE["crema"].files] == facts["crema"]["path"]
    assert catalogue.CATALOGUE["btc"].files[0].path == facts["btc"]["path"]


@pytest.mark.parametrize("name", ["lv", "crema"])
def test_a_folder_of_downloaded_weights_is_used_as_it_is(
    name: str, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.MODELS_ENV, str(shared / "teachers"))
    paths = catalogue.weights(name)
    assert [p.relative_to(shared / "teachers").as_posix() for p in paths] == [
        f.name for f in catalogue.CATALOGUE[name].files
    ]


def test_addresses_are_fixed_to_a_commit_and_quoted() -> None:
    for entry in catalogue.CATALOGUE.values():
        for file in entry.files:
            assert re.fullmatch(r"[0-9a-f]{40}", file.commit)
            assert re.fullmatch(r"https://[A-Za-z0-9./%_-]+", file.url)
    assert a_file().url.endswith("/models/a%20%281%29.onnx")


def test_a_mirror_replaces_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(catalogue.URL_ENV, "http://localhost:1/mirror/")
    assert a_file().url.startswith("http://localhost:1/mirror/someone/something/000")


def test_missing_weights_say_which_command_brings_them() -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        catalogue.weights("fake")
    assert caught.value.exit_code == ExitCode.MODEL_UNAVAILABLE
    assert "chordtool models download fake" in caught.value.hint


def test_a_model_without_downloads_answers_with_those_that_have_some() -> None:
    with pytest.raises(UsageError) as caught:
        catalogue.weights("nonesuch")
    assert "lv" in caught.value.hint


def test_a_damaged_file_is_never_used(cache: Path) -> None:
    put(cache, b"wEights")
    with pytest.raises(ModelUnavailableError, match="checksum"):
        catalogue.weights("fake")


def test_a_file_that_changes_is_checked_again(cache: Path) -> None:
    path = put(cache)
    assert catalogue.weights("fake") == (path,)
    put(cache, b"other!!")
    with pytest.raises(ModelUnavailableError):
        catalogue.weights("fake")


def test_the_chosen_folder_wins_over_the_cache_unless_it_is_damaged(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.MODELS_ENV, str(tmp_path / "mine"))
    in_cache, mine = put(cache), put(tmp_path / "mine")
    assert catalogue.weights("fake") == (mine,)
    put(tmp_path / "mine", b"broken")
    assert catalogue.weights("fake") == (in_cache,)


def test_presence_is_told_by_size_alone(cache: Path) -> None:
    assert not catalogue.is_here("fake")
    put(cache, b"wEights")
    assert catalogue.is_here("fake")
    put(cache, b"half")
    assert not catalogue.is_here("fake")


def test_a_folder_that_keeps_to_itself_what_is_in_it_is_named(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", denied)
    with pytest.raises(ModelUnavailableError, match="cannot be read: Permission denied"):
        catalogue.weights("fake")
    with pytest.raises(ModelUnavailableError, match="cannot be deleted: Permission denied"):
        catalogue.remove("fake")


def test_remove_empties_the_cache_and_leaves_other_folders_alone(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.MODELS_ENV, str(tmp_path / "mine"))
    in_cache, mine = put(cache), put(tmp_path / "mine")
    part = catalogue.part_path(in_cache, a_file())
    part.write_bytes(b"wei")
    assert set(catalogue.remove("fake")) == {in_cache, part}
    assert not in_cache.exists()
    assert not part.exists()
    assert mine.exists()
    assert catalogue.remove("fake") == ()


def test_the_cache_is_the_platforms_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = catalogue.cache_folder()
    assert folder.parts[-2:] == ("chordtool", "models")
