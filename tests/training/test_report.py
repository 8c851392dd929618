from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from chordtool.corpus.recipe import with_spare
from chordtool.evaluation import Scores, evaluate
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.segments import Segment
from chordtool.training.judge import judge, labelled_segments
from chordtool.training.report import curve, write_report
from chordtool.training.sources import corpus_source
from chordtool.training.state import Outcome, RunState
from chordtool.vocabulary import MASKED
from tests.training.made import config, make_corpus

CARD = ModelCard(
    name="<script>alert(1)</script>",
    architecture="btc",
    front_end=FrontEnd(mean=-5.0, std=2.0),
    training={"data": [{"name": "a & b", "recordings": 3, "hours": 0.1, "weight": 1.0}]},
)


def rows(n: int) -> list[dict[str, Any]]:
    return [
        {
            "epoch": k + 1, "step": 10 * k, "minutes": 1.0, "lr": 1e-3, "train_loss": 2.0 / (k + 1),
            "train_accuracy": 0.5, "validation_loss": None if k == 0 else 1.0,
            "validation_accuracy": 0.4, "segments_per_second": 12.0, "loading_share": 0.01,
        }
        for k in range(n)
    ]  # fmt: skip


def scores() -> Scores:
    truth = {"a": (Segment(0, 1, "C"), Segment(1, 2, "A:min7")), "b": (Segment(0, 3, "G:7"),)}
    found = {"a": (Segment(0, 2, "C"),), "b": (Segment(0, 3, "G:7"),)}
    return evaluate(truth, found)


class Balanced(HTMLParser):
    """Fails where tags do not close in order, and where a page reaches for anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img", "iframe"), tag
        assert not any(name in ("src", "href") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("n", [0, 1, 5])
def test_the_report_is_one_page_that_needs_nothing_else(tmp_path: Path, n: int) -> None:
    state = RunState(epoch=n, step=10 * n, history=rows(n))
    outcome = Outcome("all epochs", 0.4, n, state, CARD)
    write_report(tmp_path, config(), CARD, outcome, {"validation": scores()})
    page = (tmp_path / "report.html").read_text()
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "&lt;script&gt;" in page
    assert "a &amp; b" in page
    for name in ("majmin", "mirex", "tetrads", "acqa", "maj", "min7", "7"):
        assert f"<th>{name}</th>" in page
    assert "<th>dim</th>" not in page  # no song has one
    assert page.count("<svg") == (4 if n else 0)


def test_a_curve_passes_through_its_points() -> None:
    svg = curve("Loss", {"training": [(1, 4.0), (2, 2.0), (3, 0.0)], "validation": []})
    points = re.search(r'points="([^"]+)"', svg)
    assert points is not None
    xs, ys = zip(*(map(float, p.split(",")) for p in points[1].split()), strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.2)


def test_frames_become_segments_that_tile() -> None:
    labels = np.array([1, 1, -1, 169, 169, 0], np.int16)
    segments = labelled_segments(labels, np.arange(7.0))
    assert [(s.start, s.end, s.label) for s in segments] == [
        (0, 2, "C"), (2, 3, "X"), (3, 5, "N"), (5, 6, "C:min"),
    ]  # fmt: skip


class Oracle(nn.Module):
    """Knows the chord from the made-up features: the loudest pitch classes."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not self.training
        chroma = x.unflatten(-1, (6, 12, 2)).mean((-1, -3))
        logits = torch.full((*x.shape[:-1], 170), -50.0)
        for label, tones in {1: (0, 4, 7), 0: (0, 3, 7), 71: (5, 9, 0), 98: (7, 10, 2)}.items():
            logits[..., label] = 10 * chroma[..., list(tones)].sum(-1)
        return logits


def test_a_student_that_is_always_right_gets_every_point(tmp_path: Path) -> None:
    source = corpus_source(make_corpus(tmp_path / "c", n=3, frames=130))
    student = Oracle()
    found = judge(student, CARD, [source])
    assert found is not None
    assert found["tetrads"].value > 0.97
    assert len(found.songs) == 3
    assert student.training


def test_recordings_without_labels_are_not_judged(tmp_path: Path) -> None:
    source = corpus_source(make_corpus(tmp_path / "c", n=3, frames=130))
    unknown = replace(source.tracks[0], labels=np.full(130, MASKED, np.int16))
    found = judge(Oracle(), CARD, [replace(source, tracks=(unknown, *source.tracks[1:]))])
    assert found is not None
    assert len(found.songs) == 2
    assert judge(Oracle(), CARD, [replace(source, tracks=(unknown,))]) is None
    assert judge(Oracle(), CARD, []) is None


def test_a_student_does_not_hear_spare_bins(tmp_path: Path) -> None:
    wide = make_corpus(tmp_path / "c", n=1, frames=130, front_end=with_spare(FrontEnd(), 6))
    found = judge(Oracle(), CARD, [corpus_source(wide)])
    assert found is not None
    assert found["tetrads"].value > 0.97


def test_of_many_recordings_evenly_spread_ones_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chordtool.training.judge.MAX_RECORDINGS", 2)
    source = corpus_source(make_corpus(tmp_path / "c", n=5, frames=20))
    found = judge(Oracle(), CARD, [source])
    assert found is not None
    first, fourth = source.tracks[::3]
    assert [song.name for song in found.songs] == [f"0 {first.song}", f"1 {fourth.song}"]
