"""The example plug-in, installed as its users would install it; and plug-ins that are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from chordtool.cli import run
from chordtool.errors import ExitCode, ModelUnavailableError
from chordtool.models import load_model
from chordtool.models.inventory import list_models
from chordtool.plugins import PluginWarning

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "chordtool-template"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example was installed into."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([*pip, *options, str(EXAMPLE)], check=True, timeout=120)
    return folder


def python(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHORDTOOL_")}
    environment = {**kept, "PYTHONPATH": str(site), "CHORDTOOL_CONFIG": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=site,
        check=False,
    )


def register(site: Path, package: str, entry_point: str, code: str | None = None) -> None:
    """Make a package look installed."""
    info = site / f"{package}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[chordtool.models]\n{entry_point}\n")
    if code is not None:
        (site / f"{package}.py").write_text(code)


def test_the_example_is_listed_with_its_package_and_licence(installed: Path) -> None:
    result = python(installed, "-m", "chordtool", "models", "list", "--json")
    assert result.returncode == 0, result.stderr
    entry = {e["name"]: e for e in json.loads(result.stdout)}["template"]
    assert entry["package"] == "chordtool-template"
    assert entry["licence"] == "MIT"
    assert "chroma" in str(entry["description"])


def test_listing_imports_no_model(installed: Path) -> None:
    code = (
        "import sys; from chordtool.models.inventory import list_models; list_models();"
        "sys.exit('chordtool_template' in sys.modules or 'torch' in sys.modules)"
    )
    assert python(installed, "-c", code).returncode == 0


def test_the_example_transcribes(installed: Path) -> None:
    clip = str(ROOT / "examples" / "clip.mp3")
    result = python(installed, "-m", "chordtool", "transcribe", "--model", "template", clip)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) > 3


def test_the_examples_own_test_passes(installed: Path) -> None:
    arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE / "tests")]
    result = python(installed, *arguments)
    assert result.returncode == 0, result.stdout
    assert "2 passed" in result.stdout


@pytest.mark.parametrize(
    ("value", "there"),
    [
        ("", False),
        ("another", False),
        ("chordtool-template", True),
        ("a, Chordtool_Template", True),
    ],
)
def test_plug_ins_can_be_shut_out(
    value: str, there: bool, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(installed)
    monkeypatch.setenv("CHORDTOOL_PLUGINS", value)
    names = {entry.name for entry in list_models()}
    assert ("template" in names) == there
    assert {"btc", "crema", "default", "lv"} <= names


def test_a_plug_in_whose_module_is_gone_is_one_warning_line(tmp_path: Path) -> None:
    register(tmp_path, "gone", "gone = gone_module:load")
    register(tmp_path, "nonsense", "nonsense = :")
    result = python(tmp_path, "-m", "chordtool", "models", "list")
    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 2
    assert "Plug-in 'gone' of gone cannot be used" in result.stderr
    assert "Plug-in 'nonsense' of nonsense cannot be used" in result.stderr
    assert "lv" in result.stdout


BROKEN = {
    "on_import": "raise RuntimeError('no such device')",
    "leaves_on_import": "import sys; sys.exit(7)",
    "lacks_something": "import missing_dependency",
    "on_load": "def load():\n    raise RuntimeError('weights lost')",
    "leaves_on_load": "def load():\n    raise SystemExit(7)",
    "has_no_load": "lod = 1",
    "gives_no_model": "def load():\n    return 42",
    "gives_no_card": "class load:\n    card = features = logits = None",
    "fails_on_its_card": "class load:\n    features = logits = print\n"
    "    @property\n    def card(self): raise RuntimeError('mislaid')",
    **{
        f"has_a_card_without_{name}": "from chordtool import FrontEnd, ModelCard\n"
        f"class load:\n    features = logits = print\n    card = ModelCard(**{{'name': 'x', "
        f"'architecture': 'x', 'front_end': FrontEnd(), {name!r}: None}})"
        for name in ("front_end", "decoding", "vocabulary")
    },
}
ODD = """
import numpy as np
from chordtool_template import TemplateModel

class Model(TemplateModel):
    def {}

def load():
    return Model()
"""
"""A model of which one method is another one."""
FAILURES = {
    "features(self, samples): raise ValueError('too loud')": "ValueError: too loud",
    "features(self, samples): return samples": "no [frames, ...]",
    "logits(self, features): raise SystemExit(3)": "SystemExit: 3",
    "logits(self, features): return np.zeros((3, 25), np.float32)": "[3, 25] instead of [",
    "logits(self, features): return np.full((len(features), 25), np.nan)": "NaN",
    "logits(self, features): return None": "NoneType instead of [",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_plug_in_that_fails_is_a_warning_and_an_error_that_names_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, name, f"{name} = {name}:load", BROKEN[name])
    monkeypatch.syspath_prepend(tmp_path)
    assert name in {entry.name for entry in list_models()}
    with (
        pytest.warns(PluginWarning, match=f"Plug-in '{name}' of {name} cannot be used: "),
        pytest.raises(ModelUnavailableError, match=name),
    ):
        load_model(name)


@pytest.mark.parametrize("method", FAILURES)
def test_a_model_that_fails_on_a_song_is_named_and_the_next_song_is_tried(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    register(tmp_path, "odd_model", "odd = odd_model:load", ODD.format(method))
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    clip = (ROOT / "examples" / "clip.mp3").read_bytes()
    for name in ("a.mp3", "b.mp3"):
        (tmp_path / name).write_bytes(clip)
    songs = [str(tmp_path / name) for name in ("a.mp3", "b.mp3")]
    arguments = [*songs, "--model", "odd", "-j", "1", "-o", f"{tmp_path}/chords/"]
    try:
        assert run(["transcribe", *arguments]) == ExitCode.SOME_FAILED
    finally:
        sys.modules.pop("odd_model", None)
    said = capfd.readouterr().err
    assert said.count("The model 'odd' of the package odd_model failed") == 2
    assert FAILURES[method] in said
    assert "This is a bug" not in said


def test_a_plug_in_that_fails_shows_no_traceback(tmp_path: Path) -> None:
    register(tmp_path, "broken", "broken = broken:load", BROKEN["leaves_on_load"])
    clip = str(ROOT / "examples" / "clip.mp3")
    result = python(tmp_path, "-m", "chordtool", "transcribe", "--model", "broken", clip)
    assert result.returncode == 3
    lines = result.stderr.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["warning", "error", "hint"]


def test_a_plug_in_cannot_take_over_a_name_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, "impostor", "lv = impostor:load", "def load(): ...")
    monkeypatch.syspath_prepend(tmp_path)
    assert {e.name: e.package for e in list_models()}["lv"] == "chordtool"
