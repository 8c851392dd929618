"""With the split of a run, only the songs that it put aside are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from chordtool.cli import run
from chordtool.errors import UsageError
from chordtool.evaluation import Bootstrap
from chordtool.evaluation.folders import Request, evaluate_folders

QUICK = Bootstrap(50)


def test_of_a_run_only_its_test_songs_are_scored(labels: Path, estimates: Path) -> None:
    run = labels.parent / "run"
    run.mkdir()
    (run / "split.json").write_text('{"train": ["one"], "validation": [], "test": ["three"]}')
    for split in (run, run / "split.json"):
        request = Request(labels, estimates=(estimates,), split=split, bootstrap=QUICK)
        found = evaluate_folders(request)
        assert [s.name for s in found.comparison.systems["found"].songs] == ["sub/three"]
        assert found.unused == {}


def test_test_songs_that_are_not_here_are_named(
    labels: Path, estimates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A score of some of them is not the run's."""
    split = labels.parent / "split.json"
    split.write_text('{"train": ["two"], "test": ["three", "elsewhere"]}')
    call = ["evaluate", "--labels", labels, "--estimates", estimates, "--split", split]
    assert run([str(word) for word in call]) == 0
    shown = capsys.readouterr()
    assert "1 songs that were put aside have no label files here: elsewhere" in shown.err
    assert "elsewhere" not in shown.out


def test_test_songs_have_the_names_that_the_run_gave_them(labels: Path, estimates: Path) -> None:
    run = labels.parent / "run"
    run.mkdir()
    (run / "split.json").write_text('{"train": ["e"], "test": ["o"]}')
    (run / "config.json").write_text('{"song_pattern": "[eo]$"}')
    found = evaluate_folders(Request(labels, estimates=(estimates,), split=run, bootstrap=QUICK))
    assert [s.name for s in found.comparison.systems["found"].songs] == ["two"]


@pytest.mark.parametrize("split", ['{"train": ["one"]}', '{"test": ["somebody else"]}'])
def test_a_split_without_test_songs_here_is_a_sentence(
    split: str, labels: Path, estimates: Path
) -> None:
    file = labels.parent / "split.json"
    file.write_text(split)
    with pytest.raises(UsageError, match="none of the songs"):
        evaluate_folders(Request(labels, estimates=(estimates,), split=file))


@pytest.mark.parametrize("config", ["", "[]", '{"song_pattern": 3}', '{"song_pattern": "("}'])
def test_a_broken_configuration_beside_a_split_is_a_sentence(
    config: str, labels: Path, estimates: Path
) -> None:
    (labels.parent / "split.json").write_text('{"test": ["one"]}')
    (labels.parent / "config.json").write_text(config)
    with pytest.raises(UsageError):
        evaluate_folders(Request(labels, estimates=(estimates,), split=labels.parent))


def test_what_lies_beside_a_split_of_ones_own_is_left_alone(labels: Path, estimates: Path) -> None:
    file = labels.parent / "mine.json"
    file.write_text('{"test": ["one"]}')
    (labels.parent / "config.json").write_text('{"of": "something else"}')
    found = evaluate_folders(Request(labels, estimates=(estimates,), split=file, bootstrap=QUICK))
    assert [s.name for s in found.comparison.systems["found"].songs] == ["one"]
