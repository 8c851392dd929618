"""How right chords are: scores against references, how sure they are, and reports of them.

:func:`evaluate` scores estimates against references; :func:`compare` sets several systems side
by side; :func:`chordtool.evaluation.folders.evaluate_folders` does the same from files on disk.
"""

from __future__ import annotations

from chordtool.evaluation.bootstrap import Bootstrap, Interval
from chordtool.evaluation.comparing import Comparison, compare
from chordtool.evaluation.scores import METRICS, QUALITY_GROUPS, Scores, SongScore, evaluate

__all__ = [
    "METRICS",
    "QUALITY_GROUPS",
    "Bootstrap",
    "Comparison",
    "Interval",
    "Scores",
    "SongScore",
    "compare",
    "evaluate",
]
