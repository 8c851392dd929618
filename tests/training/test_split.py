from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chordtool.errors import TrainingError, UsageError
from chordtool.training.split import read_split, split_songs
from tests.training.made import config, memory_source


def test_the_split_is_by_song_and_by_seed() -> None:
    source = memory_source(20)
    first = split_songs([source], config()).songs()
    assert first == split_songs([source], config()).songs()
    assert first != split_songs([source], config(seed=43)).songs()
    assert [len(first[part]) for part in ("train", "validation", "test")] == [15, 5, 0]
    assert set(first["train"]).isdisjoint(first["validation"])


def test_the_split_is_the_same_in_every_process() -> None:
    """Sorted names in the order that the seed draws; sets of text have another order each time."""
    names = sorted(f"s{k}" for k in range(20))
    drawn = [names[k] for k in np.random.default_rng(42).permutation(20)]
    split = split_songs([memory_source(20)], config(seed=42, test_share=0.1)).songs()
    assert split["validation"] == sorted(drawn[:5])
    assert split["test"] == sorted(drawn[5:7])


def test_versions_of_a_song_stay_together_over_sources() -> None:
    one, two = memory_source(10), memory_source(10)
    split = split_songs([one, two], config(test_share=0.2))
    for part in (split.train, split.validation, split.test):
        songs = [{t.song for t in source.tracks} for source in part]
        assert songs[0] == songs[1]


def test_replayed_songs_are_never_put_aside_and_never_leak() -> None:
    labelled = memory_source(8)
    replay = replace(memory_source(12), validates=False)
    split = split_songs([labelled, replay], config())
    assert len(split.validation) == 1
    held = {t.song for t in split.validation[0].tracks}
    assert held.isdisjoint(t.song for source in split.train for t in source.tracks)


def test_a_file_that_is_put_aside_is_not_replayed_by_another_name(tmp_path: Path) -> None:
    """Names depend on what else is there: 01 among the labels is one/01 in a corpus of albums."""
    labelled = memory_source(8)
    tracks = tuple(
        replace(t, key=str(tmp_path / t.key), song=f"album/{t.song}") for t in labelled.tracks
    )
    replay = replace(labelled, tracks=tracks, validates=False)
    here = [replace(t, key=str(tmp_path / "x" / ".." / t.key)) for t in labelled.tracks]
    split = split_songs([replace(labelled, tracks=tuple(here)), replay], config())
    held = {t.song for t in split.validation[0].tracks}
    assert len(held) == 2
    assert {t.song for t in split.train[1].tracks} == {
        f"album/s{k}" for k in range(8) if f"s{k}" not in held
    }


def test_a_given_split_is_kept() -> None:
    split = split_songs([memory_source(5)], config(), {"validation": ["s3"], "test": ["s0"]})
    assert split.songs() == {"train": ["s1", "s2", "s4"], "validation": ["s3"], "test": ["s0"]}


@pytest.mark.parametrize(("n", "part"), [(0, "training"), (1, "training")])
def test_an_empty_split_is_one_sentence(n: int, part: str) -> None:
    with pytest.raises(TrainingError, match=f"The {part} split is empty") as caught:
        split_songs([memory_source(n)], config())
    assert caught.value.hint


def test_a_given_split_without_validation_is_one_sentence() -> None:
    with pytest.raises(TrainingError, match="The validation split is empty") as caught:
        split_songs([memory_source(5)], config(), {"validation": ["elsewhere"]})
    assert "split.json" in caught.value.hint


def test_the_folder_of_a_run_has_a_split(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"split\.json cannot be read: No such file"):
        read_split(str(tmp_path))
    (tmp_path / "split.json").write_text('{"validation": ["a"], "test": ["b"]}')
    found = read_split(str(tmp_path))
    assert found == read_split(str(tmp_path / "split.json")) == {"validation": ["a"], "test": ["b"]}
