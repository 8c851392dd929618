"""What a corpus holds, in numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from chordtool.corpus.folder import Corpus, Description
from chordtool.corpus.manifest import FAILED, LABELLED, SKIPPED, Row
from chordtool.corpus.statistics import Totals, total


@dataclass(frozen=True)
class Info:
    """A corpus in numbers."""

    path: str
    description: Description
    files: int
    """Rows of the manifest."""
    labelled: int
    """Rows that are labelled with what the corpus is made with now."""
    outdated: int
    """Rows that were labelled with other teachers or another front end."""
    skipped: int
    failures: tuple[tuple[str, str], ...]
    """Path and reason of each recording that could not be labelled."""
    bytes_on_disk: int
    """Of the labelled recordings."""
    totals: Totals
    """Of the labelled recordings, each distinct audio once."""

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason made a recording fail, the most frequent first."""
        return dict(Counter(reason for _, reason in self.failures).most_common())

    @property
    def bytes_per_hour(self) -> float:
        """Of the labelled recordings; 0 without any."""
        return self.bytes_on_disk / self.totals.seconds * 3600 if self.totals.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready document."""
        return {
            "path": self.path,
            "teachers": list(self.description.teachers),
            "average": self.description.average,
            "filter_confidence": self.description.filter_confidence,
            "front_end": self.description.front_end.to_dict(),
            "front_end_fingerprint": self.description.front_end.fingerprint,
            "files": self.files,
            "labelled": self.labelled,
            "outdated": self.outdated,
            "skipped": self.skipped,
            "failed": len(self.failures),
            "failures": [{"path": path, "reason": reason} for path, reason in self.failures],
            "reasons": self.reasons,
            "bytes_on_disk": self.bytes_on_disk,
            "bytes_per_hour": self.bytes_per_hour,
            **self.totals.to_dict(),
        }


def describe_corpus(corpus: Corpus) -> Info:
    """Count what a manifest says.

    Raises:
        CorpusError: the manifest cannot be read.
    """
    rows = corpus.rows()
    current: dict[str, Row] = {}
    labelled = outdated = skipped = 0
    failures: list[tuple[str, str]] = []
    for row in rows:
        if corpus.is_current(row):
            labelled += 1
            current[row.audio_sha256] = row
        elif row.status == LABELLED:
            outdated += 1
        elif row.status == SKIPPED:
            skipped += 1
        elif row.status == FAILED:
            failures.append((row.path or "", row.error))
    return Info(
        path=str(corpus.path),
        description=corpus.description,
        files=len(rows),
        labelled=labelled,
        outdated=outdated,
        skipped=skipped,
        failures=tuple(failures),
        bytes_on_disk=sum(row.recording_bytes for row in current.values()),
        totals=total(current[key] for key in sorted(current)),
    )
