from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from chordtool.corpus.recipe import (
    Recipe,
    hash_of,
    make_recipe,
    parse_front_end,
    spare_bins,
    with_spare,
)
from chordtool.errors import ModelUnavailableError, UsageError
from chordtool.frontend import BTC_FRONT_END, FrontEnd
from chordtool.models import ModelCard
from chordtool.models.windows import Windows


def test_the_order_of_teachers_does_not_matter(toy: Path) -> None:
    one = make_recipe(["toy", "other"], weights=[3, 1])
    two = make_recipe(["other", "toy"], weights=[1, 3])
    assert one == two
    assert [t.weight for t in one.teachers] == [0.25, 0.75]


def test_whatever_changes_the_labels_changes_their_fingerprint(toy: Path) -> None:
    base = make_recipe(["toy", "other"])
    others = [
        make_recipe(["toy"]),
        make_recipe(["other"]),
        make_recipe(["toy", "other"], weights=[1, 2]),
        make_recipe(["toy", "other"], average="arithmetic"),
        make_recipe(["toy", "other"], front_end=BTC_FRONT_END),
        make_recipe(["toy", "other"], filter_confidence=0.5),
        replace(base, teachers=(replace(base.teachers[0], sha256="0" * 64), base.teachers[1])),
    ]
    prints = {recipe.labels_fingerprint for recipe in [base, *others]}
    assert len(prints) == len(others) + 1


def test_more_bins_on_the_same_frames_leave_the_labels_alone(toy: Path) -> None:
    plain = make_recipe(["toy"])
    wide = make_recipe(["toy"], front_end=parse_front_end("default+6"))
    assert plain.labels_fingerprint == wide.labels_fingerprint
    assert plain.front_end.fingerprint != wide.front_end.fingerprint


def test_a_teacher_of_another_vocabulary_is_refused(toy: Path) -> None:
    with pytest.raises(UsageError, match="majmin"):
        make_recipe(["small"])


def test_requests_that_make_no_sense_are_refused(toy: Path) -> None:
    for weights in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1, 2, 3]):
        with pytest.raises(UsageError):
            make_recipe(["toy", "other"], weights=weights)
    with pytest.raises(UsageError):
        make_recipe([])
    with pytest.raises(UsageError, match="twice"):
        make_recipe(["toy", "toy"])
    with pytest.raises(UsageError, match="confidence"):
        make_recipe(["toy"], filter_confidence=1.5)
    with pytest.raises(UsageError, match="average"):
        make_recipe(["toy"], average="median")
    with pytest.raises(ModelUnavailableError):
        make_recipe(["nobody"])


def test_front_ends_have_names(toy: Path) -> None:
    assert parse_front_end("default") == FrontEnd()
    assert parse_front_end("btc") == BTC_FRONT_END
    assert parse_front_end("toy") == FrontEnd()
    with pytest.raises(ModelUnavailableError) as caught:
        parse_front_end("defualt")
    assert "default" in caught.value.hint


def test_spare_semitones_lie_on_both_sides() -> None:
    wide = parse_front_end("default+6")
    assert wide.n_bins == 144 + 2 * 12
    assert wide.fmin == pytest.approx(FrontEnd().fmin / 2**0.5)
    assert spare_bins(wide, FrontEnd()) == 12
    assert parse_front_end("btc+2").chunk_samples == BTC_FRONT_END.chunk_samples


def test_there_is_no_room_for_any_number_of_spare_semitones() -> None:
    with pytest.raises(UsageError, match="no room"):
        parse_front_end("default+60")
    with pytest.raises(UsageError, match="no room"):
        with_spare(FrontEnd(bins_per_octave=30), 1)


def test_a_corpus_knows_which_front_ends_it_contains() -> None:
    plain = FrontEnd()
    wide = with_spare(plain, 2)
    assert spare_bins(plain, plain) == 0
    assert spare_bins(plain, wide) is None
    assert spare_bins(wide, replace(plain, mean=1.0, std=2.0)) == 4
    assert spare_bins(wide, replace(plain, fmin=plain.fmin * 1.001)) is None
    assert spare_bins(wide, replace(plain, hop_length=1024)) is None
    assert spare_bins(wide, BTC_FRONT_END) is None


class Weightless:
    """A model that is told apart by what it says of itself."""

    weights_sha256 = "ab" * 32

    def __init__(self, windows: Windows) -> None:
        self.card = ModelCard("mine", "btc", FrontEnd(mean=-5.0, std=2.0), windows=windows)


def test_a_teacher_is_called_as_it_was_before_windows_came() -> None:
    """Under another name, all that it has labelled would be labelled again."""
    said = (
        f'{{"architecture":"btc","front_end":["{FrontEnd().fingerprint}",-5.0,2.0],"name":"mine",'
        f'"segment_frames":108,"version":"1","vocabulary":"large"}}{"ab" * 32}'
    )
    assert hash_of("mine", Weightless(Windows())) == hashlib.sha256(said.encode()).hexdigest()
    assert hash_of("mine", Weightless(Windows(27))) != hash_of("mine", Weightless(Windows()))


def test_recipes_cross_process_boundaries(toy: Path) -> None:
    import pickle

    recipe = make_recipe(["toy"])
    again: Recipe = pickle.loads(pickle.dumps(recipe))
    assert again == recipe
    assert hash(again) == hash(recipe)
