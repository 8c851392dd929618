"""What is disturbed: each command with its input, its results, and how it is taken up again.

A scenario works in a folder of its own. ``build`` makes the input once; ``lay`` gives a fault a
fresh copy; ``results`` says what lies under final names, so that it can be held against what the
undisturbed command left. What is allowed to differ (times, logs) is not among the results.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import soundfile
from safetensors import safe_open

from tests.clips import music
from tests.faults.processes import chordtool
from tests.tiny_student import tiny_student

TRAINING = (
    "--segment-frames", 12, "--stride", 12, "--batch-size", 4, "--epochs", 2, "--warmup-epochs", 0,
    "--validation-share", 0.25, "--test-share", 0, "--threads", 1, "--device", "cpu",
    "--checkpoint-steps", 1,
)  # fmt: skip


@dataclass
class Scenario:
    """A command and its world."""

    fixtures: Path
    """What ``build`` makes; never written to afterwards."""
    name: str = ""
    faults: tuple[str, ...] = ("kill", "terminate", "interrupt", "disk", "permissions", "corrupt")
    seconds: float = 0.0
    """How long the undisturbed command takes."""
    reference: dict[str, str] = field(default_factory=dict)
    """Results of the undisturbed command."""
    disk_bytes: int = 0
    """What the work folder takes when the undisturbed command is done."""
    environment: dict[str, str] = field(default_factory=dict)

    def build(self) -> None:
        """Make the input."""

    def lay(self, work: Path) -> None:
        """Put what the command reads and may damage into a work folder."""
        work.mkdir(parents=True, exist_ok=True)

    def command(self, work: Path) -> list[str]:
        """The command line."""
        raise NotImplementedError

    def output(self, work: Path) -> Path:
        """The folder that results go to."""
        return work / "out"

    def again(self, work: Path) -> list[list[str]]:
        """What the documentation says goes on after an interruption."""
        return [self.command(work)]

    def repair(self, work: Path) -> list[list[str]]:
        """What the documentation says mends damage; none of it need succeed but the last."""
        return self.again(work)

    def damageable(self, work: Path) -> list[Path]:
        """Files that a disk may damage."""
        return [p for p in self.output(work).rglob("*") if p.is_file() and p.stat().st_size]

    def results(self, work: Path) -> dict[str, str]:
        """What is there under final names, by name: a digest of all that must be the same."""
        folder = self.output(work)
        return {
            str(path.relative_to(folder)): self.digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not is_scratch(path)
        }

    def digest(self, path: Path) -> str:
        """What must be the same of a file."""
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def stand_alone(self, work: Path) -> list[str]:
        """What is wrong with the results at any moment, however the command ended."""
        found = self.results(work)
        return [f"{n} is not what it should be" for n in found if found[n] != self.reference.get(n)]


def is_scratch(path: Path) -> bool:
    """Whether a name says that the file is not a result."""
    return path.name.endswith(".part") or path.name == ".lock" or path.name.startswith(".now-")


def make_songs(folder: Path, count: int = 6) -> None:
    """Recordings of a few seconds, one of them twice under two names."""
    folder.mkdir(parents=True)
    for k in range(count):
        samples = music(3.0 + 0.5 * k, 22_050, 1, seed=k)
        soundfile.write(folder / f"song-{k}.flac", samples, 22_050)
    shutil.copy(folder / "song-0.flac", folder / "same-again.flac")


class Transcribe(Scenario):
    """``transcribe -o``: files for every recording, in two formats."""

    def build(self) -> None:
        make_songs(self.fixtures / "music")
        (self.fixtures / "tiny.onnx").write_bytes(tiny_student())

    def lay(self, work: Path) -> None:
        shutil.copytree(self.fixtures, work, dirs_exist_ok=True)
        self.output(work).mkdir()

    def command(self, work: Path, *more: str) -> list[str]:
        return chordtool("transcribe", work / "music", "-o", self.output(work), "-m",
                         work / "tiny.onnx", "-f", "lab", "-f", "csv", "-j", 2, *more)  # fmt: skip

    def again(self, work: Path) -> list[list[str]]:
        return [self.command(work, "--skip-existing")]

    def repair(self, work: Path) -> list[list[str]]:
        shutil.copytree(self.fixtures, work, dirs_exist_ok=True)
        return [self.command(work, "--overwrite")]

    def damageable(self, work: Path) -> list[Path]:
        return [work / "tiny.onnx", *(work / "music").iterdir()]


class LabelCorpus(Scenario):
    """``label-corpus``: every recording once, whatever happened before."""

    cluster: tuple[object, ...] = ("-j", 2)

    def build(self) -> None:
        make_songs(self.fixtures / "music")
        (self.fixtures / "tiny.onnx").write_bytes(tiny_student())

    def command(self, work: Path) -> list[str]:
        # The audio stays where it is: its path is part of the manifest.
        return chordtool("label-corpus", self.fixtures / "music", "-o", self.output(work), "-t",
                         self.fixtures / "tiny.onnx", *self.cluster)  # fmt: skip

    def repair(self, work: Path) -> list[list[str]]:
        return [chordtool("corpus", "verify", self.output(work)), self.command(work)]

    def damageable(self, work: Path) -> list[Path]:
        return [p for p in super().damageable(work) if not is_scratch(p)]

    def results(self, work: Path) -> dict[str, str]:
        found = super().results(work)
        found.pop("manifest.jsonl", None)
        found = {n: d for n, d in found.items() if not n.startswith("claims")}
        for row in self._rows(work):
            found[f"row of {row.get('path')}"] = json.dumps(row, sort_keys=True)
        return found

    def _rows(self, work: Path) -> list[dict[str, object]]:
        path = self.output(work) / "manifest.jsonl"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def twice(self, work: Path) -> list[str]:
        """Recordings that the manifest of a finished run has more than once."""
        paths = [row["path"] for row in self._rows(work)]
        return [f"{p} has two rows" for p in set(paths) if paths.count(p) > 1]


class LabelCluster(LabelCorpus):
    """``label-corpus`` on a Dask cluster whose workers die."""

    faults = ("worker", "kill", "interrupt")
    cluster = ("--cluster", "local:2")


class Distill(Scenario):
    """``distill``: a run that ends with the weights of one that nothing happened to."""

    def build(self) -> None:
        from tests.training.made import make_corpus

        make_corpus(self.fixtures / "corpus")

    def command(self, work: Path) -> list[str]:
        return chordtool("distill", "--corpus", self.fixtures / "corpus", "-o", self.output(work),
                         "--student", "2e1d", *TRAINING)  # fmt: skip

    def repair(self, work: Path) -> list[list[str]]:
        return [self.command(work), [*self.command(work), "--overwrite"]]

    def results(self, work: Path) -> dict[str, str]:
        names = ("best.safetensors", "last.safetensors", "split.json", "metrics.csv")
        folder = self.output(work)
        return {n: self.digest(folder / n) for n in names if (folder / n).exists()}

    def digest(self, path: Path) -> str:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                tensors = {name: file.get_tensor(name).tobytes() for name in file.keys()}  # noqa: SIM118
                card = json.loads((file.metadata() or {})["chordtool.card"])
            total = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
            for name in sorted(tensors):
                total.update(name.encode() + tensors[name])
            return total.hexdigest()
        if path.suffix == ".csv":
            rows = list(csv.DictReader(path.read_text().splitlines()))
            timeless = ("epoch", "step", "lr", "train_loss", "validation_loss")
            return json.dumps([[row[name] for name in timeless] for row in rows])
        return super().digest(path)

    def stand_alone(self, work: Path) -> list[str]:
        # Weights of an earlier epoch are as good; they must only be whole, which digest sees.
        self.results(work)
        return []


class Finetune(Distill):
    """``finetune``: the same, from a checkpoint and label files."""

    def build(self) -> None:
        from tests.faults import processes
        from tests.training.made import make_corpus
        from tests.training.made import make_songs as make_labelled

        make_labelled(self.fixtures / "labels", n=4, seconds=6.0)
        make_corpus(self.fixtures / "corpus")
        command = chordtool("distill", "--corpus", self.fixtures / "corpus", "-o",
                            self.fixtures / "student", "--student", "2e1d", *TRAINING)  # fmt: skip
        ended = processes.run(command, self.fixtures / "home")
        assert ended.status == 0, ended.text

    def command(self, work: Path) -> list[str]:
        return chordtool("finetune", "--labels", self.fixtures / "labels", "-o", self.output(work),
                         "--student", self.fixtures / "student/best.safetensors", "--kd-alpha", 0,
                         *TRAINING)  # fmt: skip


class Download(Scenario):
    """``models download``: files from a slow server."""

    def command(self, work: Path) -> list[str]:
        command = chordtool("models", "download", "lv", "--to", self.output(work))
        command[2] = "tests.faults.weights_server"
        return command

    def lay(self, work: Path) -> None:
        self.output(work).mkdir(parents=True)


class Export(Finetune):
    """``export``: one file, there in whole or not at all."""

    def command(self, work: Path) -> list[str]:
        return chordtool("export", work / "student", "-o", self.output(work) / "student.onnx")

    def lay(self, work: Path) -> None:
        shutil.copytree(self.fixtures / "student", work / "student")
        self.output(work).mkdir(parents=True)

    def again(self, work: Path) -> list[list[str]]:
        return [[*self.command(work), "--overwrite"]]

    def repair(self, work: Path) -> list[list[str]]:
        shutil.copytree(self.fixtures / "student", work / "student", dirs_exist_ok=True)
        return self.again(work)

    def damageable(self, work: Path) -> list[Path]:
        return [work / "student/best.safetensors"]

    def results(self, work: Path) -> dict[str, str]:
        return Scenario.results(self, work)

    def stand_alone(self, work: Path) -> list[str]:
        return Scenario.stand_alone(self, work)


SCENARIOS: dict[str, type[Scenario]] = {
    "transcribe": Transcribe,
    "label-corpus": LabelCorpus,
    "label-corpus --cluster": LabelCluster,
    "distill": Distill,
    "finetune": Finetune,
    "models download": Download,
    "export": Export,
}
