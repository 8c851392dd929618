"""The rows that are there as markdown tables, for docs/reproduction.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chordtool.evaluation import METRICS
from recipes.results.plan import AUGMENTATIONS, BY_NAME, DEVIATIONS, ROWS
from recipes.results.rows import read_row

Documents = Mapping[str, dict[str, Any]]
"""Rows by name."""

REFERENCE: Final = "lv"
"""The row that the students' teacher is."""
LEVEL_POINTS: Final = 0.5
"""A student is level with its teacher if its mean is not further below than this."""
MET, MISSED, NOT_RUN = "met", "missed", "not run"


@dataclass(frozen=True)
class Check:
    """A line of the table of what must be shown."""

    subject: str
    must_show: str
    needs: tuple[str, ...]
    """Rows."""
    judge: Callable[[Documents], tuple[str, bool | None]]
    """From the rows to what was measured, and whether that is enough; ``None`` where there is no
    bar."""

    def line(self, rows: Documents) -> list[str]:
        """Subject, what must be shown, what was measured, verdict."""
        missing = [name for name in self.needs if name not in rows]
        if missing:
            return [self.subject, self.must_show, "", f"{NOT_RUN} ({', '.join(missing)})"]
        measured, enough = self.judge(rows)
        verdict = "" if enough is None else MET if enough else MISSED
        return [self.subject, self.must_show, measured, verdict]


def read_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """The rows that were written down, in the order of the table.

    Raises:
        UsageError: a file is something else.
    """
    found = {row.name: read_row(folder / f"{row.name}.json") for row in ROWS}
    return {name: document for name, document in found.items() if document is not None}


def report(rows: Documents) -> str:
    """All tables."""
    parts = [
        "### What must be shown\n",
        _table(["", "must show", "measured", ""], [check.line(rows) for check in CHECKS]),
        f"\nPoints are per cent of the songs' time. The teacher is `{REFERENCE}`; "
        '"mean" is that of the seven metrics; level is no more than '
        f"{LEVEL_POINTS} points below.\n",
        f"### Scores\n\n{_songs(rows)}\n",
        _scores(rows),
        "\n### What the two stages buy as labels get scarce (mean of the seven / tetrads / ACQA)\n",
        _scarcity(rows),
        "\n### What distillation buys in stage 2 (BTC; mean of the seven / tetrads / ACQA)\n",
        _ablations(rows),
        "\n### What augmentation buys (mean of the seven / tetrads / ACQA)\n",
        _augmentations(rows),
        "\n### What the optimiser buys (mean of the seven / tetrads / ACQA)\n",
        _optimisers(rows),
        "\n### Runs\n",
        _runs(rows),
        "\n### Where this differs from the paper\n",
        "\n".join(f"- {line}" for line in DEVIATIONS),
    ]
    return "\n".join(parts) + "\n"


def points(rows: Documents, name: str, statistic: str) -> float:
    """A row's score, 0..100."""
    value = rows[name]["scores"][statistic]["value"]
    return float("nan") if value is None else 100 * float(value)


def _lead(rows: Documents, name: str, other: str, statistic: str = "mean") -> float:
    return points(rows, name, statistic) - points(rows, other, statistic)


def _teachers(rows: Documents) -> tuple[str, bool | None]:
    names = ("lv", "crema", "lv+crema")
    return "mean " + ", ".join(f"{n} {points(rows, n, 'mean'):.1f}" for n in names), None


def _share(student: str, least: float) -> Check:
    def judge(rows: Documents) -> tuple[str, bool | None]:
        teacher = points(rows, REFERENCE, "mean")
        share = 100 * points(rows, f"{student}-stage1", "mean") / teacher
        return f"{share:.1f} %", share >= least

    return Check(
        f"{student.upper()} after stage 1", f"at least {least:.0f} % of the teacher's mean",
        (f"{student}-stage1", REFERENCE), judge,
    )  # fmt: skip


def _baseline(student: str) -> Check:
    name = f"{student}-baseline"

    def judge(rows: Documents) -> tuple[str, bool | None]:
        return f"mean {points(rows, name, 'mean'):.1f}, ACQA {points(rows, name, 'acqa'):.1f}", None

    return Check(
        f"{student.upper()} from scratch, pitch shift", "the supervised baseline", (name,), judge
    )


def _after_stage_2(student: str, augment: str, shown: str = "") -> str:
    words = f"{student.upper()} after stage 2" + (f" with `{augment}`" if augment else "")
    return f"{words}, {shown}" if shown else words


def _named(student: str, augment: str) -> str:
    return f"{student}-stage2" + (f"-{augment}" if augment else "")


def _gain(student: str, statistic: str, least: float, augment: str) -> Check:
    name, base = _named(student, augment), f"{student}-baseline"

    def judge(rows: Documents) -> tuple[str, bool | None]:
        lead = _lead(rows, name, base, statistic)
        return f"{lead:+.2f}", lead >= least

    shown = "ACQA" if statistic == "acqa" else statistic
    return Check(
        _after_stage_2(student, augment, shown),
        f"at least {least:g} points over its baseline", (name, base), judge,
    )  # fmt: skip


def _above(augment: str) -> Check:
    name = _named("btc", augment)

    def judge(rows: Documents) -> tuple[str, bool | None]:
        leads = {metric: _lead(rows, name, REFERENCE, metric) for metric in METRICS}
        least = min(leads, key=leads.__getitem__)
        return f"{leads[least]:+.2f} at least ({least})", leads[least] >= 1.1

    return Check(
        _after_stage_2("btc", augment), "above the teacher on every metric by at least 1.1 points",
        (name, REFERENCE), judge,
    )  # fmt: skip


def _level(augment: str) -> Check:
    name = _named("2e1d", augment)

    def judge(rows: Documents) -> tuple[str, bool | None]:
        lead = _lead(rows, name, REFERENCE)
        return f"{lead:+.2f}", lead >= -LEVEL_POINTS

    subject = _after_stage_2("2e1d", augment)
    return Check(subject, "level with the teacher", (name, REFERENCE), judge)


def _stage_2(augment: str = "") -> tuple[Check, ...]:
    return (
        _gain("btc", "mean", 2.5, augment),
        _above(augment),
        _gain("2e1d", "mean", 2.67, augment),
        _level(augment),
        _gain("btc", "acqa", 7.0, augment),
        _gain("2e1d", "acqa", 7.0, augment),
    )


CHECKS: Final = (
    Check("teachers", "their own scores", ("lv", "crema", "lv+crema"), _teachers),
    _share("btc", 99.0),
    _share("2e1d", 97.0),
    _baseline("btc"),
    _baseline("2e1d"),
    *_stage_2(),
    *_stage_2("sustain"),
)
"""Over the same baselines, beside the same teacher: stage 2 with pitch shift alone, as the
baselines have it, and with what the stuck pedals among the labelled songs ask for."""


def _songs(rows: Documents) -> str:
    counts = {(row["songs"], round(row["seconds"] / 60)) for row in rows.values()}
    if len(counts) != 1:
        return "No rows yet." if not rows else "Rows were scored on different songs!"
    ((songs, minutes),) = counts
    return f"{songs} test songs, {minutes} minutes; the mean with its 95 % range over songs."


def _scores(rows: Documents) -> str:
    body = []
    for name in rows:
        mean = rows[name]["scores"]["mean"]
        between = (
            f" ({100 * mean['low']:.0f} to {100 * mean['high']:.0f})"
            if mean["low"] is not None
            else ""
        )
        numbers = [f"{points(rows, name, metric):.1f}" for metric in METRICS]
        average = f"{points(rows, name, 'mean'):.1f}{between}"
        body.append(
            [
                f"`{name}`",
                *numbers,
                average,
                f"{points(rows, name, 'acqa'):.1f}",
            ]
        )
    return _table(["row", *METRICS, "mean", "ACQA"], body)


_ABLATIONS: Final = (
    ("100 % of the labels", ("btc-stage2-off", "btc-stage2-plain", "btc-stage2")),
    ("50 %", ("btc-50-off", "", "btc-50-selective")),
    ("10 %", ("btc-10-off", "", "btc-10-selective")),
    ("noisy labels", ("btc-noisy-off", "", "btc-noisy-selective")),
)


_SCARCITY: Final = (
    ("100 % of the labels", ("btc-baseline", "btc-stage2", "2e1d-baseline", "2e1d-stage2")),
    *(
        (f"{share} %", tuple(f"{student}-{share}-{how}" for student in ("btc", "2e1d")
                             for how in ("baseline", "selective")))
        for share in ("50", "10")
    ),
)  # fmt: skip


def _scarcity(rows: Documents) -> str:
    body = [[labels, *(_cell(rows, name) for name in names)] for labels, names in _SCARCITY]
    return _table(
        ["labels", "BTC from scratch", "BTC, two stages", "2E1D from scratch", "2E1D, two stages"],
        body,
    )


def _ablations(rows: Documents) -> str:
    body = [[labels, *(_cell(rows, name) for name in names)] for labels, names in _ABLATIONS]
    return _table(["labels", "KD off", "plain KD", "selective KD"], body)


def _cell(rows: Documents, name: str) -> str:
    if not name:
        return "&ndash;"
    if name not in rows:
        return NOT_RUN
    return " / ".join(f"{points(rows, name, k):.1f}" for k in ("mean", "tetrads", "acqa"))


_AUGMENTED: Final = (
    ("2E1D from scratch", ("2e1d-augment-none", "2e1d-baseline", "2e1d-augment-all",
                           "2e1d-augment-sustain")),
    ("2E1D, two stages", ("", "2e1d-stage2", "", "2e1d-stage2-sustain")),
    ("BTC, two stages", ("btc-stage2-unshifted", "btc-stage2", "", "btc-stage2-sustain")),
)  # fmt: skip


def _augmentations(rows: Documents) -> str:
    heads = ["", "none", "pitch shift"]
    for kind in ("all", "sustain"):
        changed = ", ".join(f"`{name}` {value:g}" for name, value in AUGMENTATIONS[kind].items())
        heads.append(f"pitch shift and {changed}")
    return _table(
        heads, [[what, *(_cell(rows, name) for name in names)] for what, names in _AUGMENTED]
    )


def _optimisers(rows: Documents) -> str:
    kinds = (("from scratch", "-baseline", "-muon"), ("two stages", "-stage2", "-stage2-muon"))
    body = [
        [f"{student.upper()}, {kind}", *(_cell(rows, student + row) for row in names)]
        for kind, *names in kinds
        for student in ("btc", "2e1d")
    ]
    return _table(["", "AdamW", "Muon for matrices"], body)


def _runs(rows: Documents) -> str:
    body = []
    alike: dict[str, set[str]] = {"scale": set(), "batch": set(), "on": set(), "ended by": set()}
    for name, row in rows.items():
        facts, method = row["training"], row["method"]
        if not facts:
            continue
        body.append(
            [
                f"`{name}`", _data(facts), f"{facts['epochs']} ({facts['best_epoch']})",
                f"{facts['segments']}", f"{facts['minutes']:.1f}", f"{method['lr']:g}",
                BY_NAME[name].start or "&ndash;",
            ]
        )  # fmt: skip
        alike["scale"].add(f"{facts['scale']:g}")
        alike["batch"].add(str(method["batch_size"]))
        alike["on"].add(f"{facts['device']}, {facts['precision']}")
        alike["ended by"].add(facts["ended"])
    heads = ["row", "trained on", "epochs (best)", "segments", "minutes", "rate", "from"]
    said = "; ".join(f"{what} {' or '.join(sorted(values))}" for what, values in alike.items())
    return f"{_table(heads, body)}\n\nEach with {said}."


def _data(facts: dict[str, Any]) -> str:
    recordings = sum(part["recordings"] for part in facts["data"])
    hours = sum(part["hours"] for part in facts["data"])
    return f"{recordings} recordings, {hours:.1f} h"


def _table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [list(heads), ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
