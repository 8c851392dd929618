"""How the model that ships is finished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from chordtool.vocabulary import LARGE
from recipes import ship
from recipes.ship import Song, bias, choose, favoured, heard_in

RNG = np.random.default_rng(3)


def test_a_favour_goes_to_all_roots_of_a_quality_and_to_no_other() -> None:
    added = dict(zip(LARGE, bias({"min7": 1.0, "N": 0.5, "maj": -0.25}).tolist(), strict=True))
    assert added["C:min7"] == added["G#:min7"] == 1.0
    assert added["N"] == 0.5
    assert added["A"] == -0.25
    assert added["X"] == added["A:min"] == added["C:maj7"] == 0.0
    assert sum(v != 0 for v in added.values()) == 25


def test_a_favoured_student_answers_with_the_favour_added() -> None:
    student = torch.nn.Sequential(torch.nn.Linear(9, 7), torch.nn.Linear(7, len(LARGE)))
    heard = torch.from_numpy(RNG.normal(size=(5, 9)).astype(np.float32))
    before = student(heard).detach().numpy()
    after = favoured(student, {"sus4": 1.5, "N": -1.0})(heard).detach().numpy()
    np.testing.assert_allclose(after - before, np.tile(bias({"sus4": 1.5, "N": -1.0}), (5, 1)),
                               atol=1e-5)  # fmt: skip


def test_a_quality_that_the_model_neglects_is_favoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "PENALTIES", (2.0, 6.0))
    logits = np.zeros((60, len(LARGE)), np.float32)
    logits[:, LARGE.index("A:min")] = 5.0
    logits[30:, LARGE.index("A:min7")] = 4.9  # right, and just not believed
    logits[29, LARGE.index("A:min7")] = 4.1  # half a nat more puts the boundary between the frames
    song = Song(
        logits, np.arange(61) * 0.1, np.array([[0.0, 3.0], [3.0, 6.0]]), ("A:min", "A:min7")
    )
    _, favour, best = choose([song])
    assert favour == {"min7": 0.5}
    assert best > 0.95


@pytest.mark.parametrize(("scores", "chosen"), [((0.89, 0.88), 2.0), ((0.88, 0.89), 6.0)])
def test_the_penalty_that_scores_best_is_taken(
    scores: tuple[float, float], chosen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_penalty = dict(zip((2.0, 6.0), scores, strict=True))
    monkeypatch.setattr(ship, "PENALTIES", tuple(by_penalty))
    monkeypatch.setattr(ship, "QUALITIES", ())
    monkeypatch.setattr(ship, "score", lambda songs, penalty, *rest: by_penalty[penalty])
    assert choose([])[0] == chosen


@pytest.mark.parametrize(("gain", "favour"), [(0.001, {}), (0.003, {"min7": -0.5})])
def test_what_gains_next_to_nothing_is_not_favoured(
    gain: float, favour: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "PENALTIES", (6.0,))
    monkeypatch.setattr(ship, "QUALITIES", ("min7",))
    monkeypatch.setattr(ship, "score", lambda songs, penalty, given, *_: 0.8 + gain * bool(given))
    assert choose([])[1] == favour


@pytest.mark.parametrize(("gain", "chosen"), [(0.01, 2.0), (0.05, 6.0)])
def test_music_has_half_a_say_in_the_penalty(
    gain: float, chosen: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, "PENALTIES", (2.0, 6.0))
    monkeypatch.setattr(ship, "QUALITIES", ())
    song, record = (
        Song(np.zeros((1, 170), np.float32), np.arange(2.0), np.array([[0.0, 1.0]]), (label,))
        for label in ("A:min", "N")
    )

    def score(heard: list[Song], penalty: float, *rest: object) -> float:
        larger = penalty == 6.0
        return 0.8 + gain * larger if heard[0].labels == ("N",) else 0.9 - 0.03 * larger

    monkeypatch.setattr(ship, "score", score)
    penalty, _, best = choose([song], [record])
    assert penalty == chosen
    assert best == (0.9 if chosen == 2.0 else 0.87), "the score that is told is that on songs"


def test_no_chord_is_favoured_where_recorded_music_gains_more_than_songs_lose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ship, "PENALTIES", (6.0,))
    monkeypatch.setattr(ship, "QUALITIES", ("N",))

    def song(right: str, n: float) -> Song:
        logits = np.zeros((40, len(LARGE)), np.float32)
        logits[:, LARGE.index("A:min")] = 5.0
        logits[20:, LARGE.index("N")] = n
        times = np.array([[0.0, 2.0], [2.0, 4.0]])
        return Song(logits, np.arange(41) * 0.1, times, ("A:min", right))

    a_nat_short, lost_by_it, safe = song("N", 4.1), song("A:min", 4.8), song("A:min", 0.0)
    songs = [lost_by_it, safe, safe]
    assert choose(songs, [a_nat_short])[1] == {"N": 1.5}
    assert choose(songs)[1] == {}
    assert choose(songs, [safe])[1] == {}
    # What recorded music gains counts no more than what songs lose.
    assert choose([lost_by_it], [a_nat_short, lost_by_it])[1] == {}


@pytest.mark.parametrize("suffix", [".flac", ".opus", ".ogg", ".mp3"])
def test_a_recording_is_found_beside_its_labels(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a b.1{suffix}").touch()
    assert heard_in(tmp_path / "a b.1.lab") == tmp_path / f"a b.1{suffix}"


def test_labels_without_a_recording_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="beside"):
        heard_in(tmp_path / "a.lab")
