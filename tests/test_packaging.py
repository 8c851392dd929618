"""What is shipped: bounded dependencies, and a wheel that holds the program and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEFAULT_MODEL = "chordtool/models/data/default.onnx"


EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    "line", [*PROJECT["dependencies"], *EXTRAS["cluster"], *EXTRAS["tensorboard"]]
)
def test_every_dependency_has_bounds(line: str) -> None:
    requirement = line.partition(";")[0]
    assert ">=" in requirement
    assert "<" in requirement


def test_the_lock_file_names_versions_and_no_places() -> None:
    lines = (ROOT / "requirements-ci.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
    names = {re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower() for pin in pins}
    needed = {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in PROJECT["dependencies"]}  # type: ignore[index]
    # torch's builds differ by platform in their version; tomli is for older Pythons.
    assert {re.sub(r"[-_.]+", "-", name) for name in needed} - names <= {"torch", "tomli"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("build") is None or find_spec("hatchling") is None:
        pytest.skip("build and hatchling are not installed")
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def test_the_wheel_holds_the_program_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"chordtool", f"chordtool-{PROJECT['version']}.dist-info"}
    kinds = {Path(name).suffix for name in names if name.startswith("chordtool/")}
    assert kinds <= {".py", ".typed", ".js", ".css", ".html", ".json", ".LICENSE", ".onnx", ""}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "chordtool/py.typed" in names
    assert not [n for n in names if "__pycache__" in n or n.endswith((".part", ".pt", ".wav"))]


def test_the_default_model_is_in_the_wheel(wheel: Path) -> None:
    if not (ROOT / DEFAULT_MODEL).is_file():
        pytest.skip("this checkout has no default model")
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(DEFAULT_MODEL) == (ROOT / DEFAULT_MODEL).read_bytes()


def test_the_source_distribution_can_be_tested_and_has_its_licence(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "chordtool/cli.py"} <= names
    assert "tests/test_packaging.py" in names
    # What the README and the tests speak of: the song to try, the plug-in, the site, the versions.
    assert {"examples/clip.mp3", "examples/clip.lab", "mkdocs.yml", "requirements-ci.txt"} <= names
    assert "examples/chordtool-template/pyproject.toml" in names
    assert not [n for n in names if n.startswith((".", "benchmarks/results")) and n != ".gitignore"]


def test_the_wheel_runs_where_nothing_else_of_it_is(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True, timeout=300)
    # Isolated from the checkout: -P and the working folder keep it off the path.
    script = (
        "import chordtool, sys; print(chordtool.__file__); from chordtool.cli import main;"
        "main(['transcribe', '--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(target)}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(target))


def test_the_door_imports_next_to_nothing_before_it_can_catch_ctrl_c() -> None:
    code = (
        "import sys; before = set(sys.modules); import chordtool.__main__; "
        "print(*sorted(set(sys.modules) - before))"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.append({str(ROOT)!r}); {code}",
    ]
    imported = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(imported) <= {"__future__", "chordtool", "chordtool.__main__", "gc"}
