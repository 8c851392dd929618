"""A dozen faults, so that the harness and its promises stay alive; the long run tries hundreds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.disks import CannotMountError
from tests.faults.faults import Harness, _tidy
from tests.faults.processes import Ended
from tests.faults.weights_server import serving

DOZEN = [
    ("transcribe", "kill"),
    ("transcribe", "terminate"),
    ("transcribe", "interrupt"),
    ("transcribe", "disk"),
    ("transcribe", "permissions"),
    ("models download", "kill"),
    ("models download", "interrupt"),
    ("models download", "disk"),
    ("models download", "corrupt"),
    ("label-corpus", "kill"),
    ("label-corpus", "disk"),
    ("label-corpus", "corrupt"),
]


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving() as address:
        yield Harness(tmp_path_factory.mktemp("faults"), address)


@pytest.mark.parametrize(("name", "fault"), DOZEN)
def test_nothing_is_lost(harness: Harness, name: str, fault: str) -> None:
    if why := harness.possible(name, fault):
        pytest.skip(why)
    try:
        struck = harness.one(name, fault, seed=7)
    except CannotMountError as error:
        pytest.skip(f"no disk can be mounted here: {error}")
    assert struck.lost == []


def test_the_harness_sees_what_is_lost(harness: Harness) -> None:
    scenario = harness.scenario("models download")
    before = dict(scenario.reference)
    scenario.reference["toy/words.json"] = "something else"
    try:
        assert any("not the undisturbed result" in why for why in _lost(harness))
    finally:
        scenario.reference = before


def _lost(harness: Harness) -> list[str]:
    return harness.one("models download", "kill", seed=8).lost


_PYTHON = """Fatal Python error: init_import_site: Failed to import the site module
Traceback (most recent call last):
  File "<frozen site>", line 221, in addsitedir
"""
_STARTING = """Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "/somewhere/tests/faults/weights_server.py", line 85, in <module>
    catalogue.CATALOGUE["lv"] = entry()
"""
_RUNNING = """  File "/somewhere/chordtool/cli.py", line 46, in main
    status = run(arguments)
"""
_WORKER = """Traceback (most recent call last):
  File "<string>", line 1, in <module>
  File "/python/multiprocessing/spawn.py", line 122, in spawn_main
"""


@pytest.mark.parametrize(
    ("status", "said", "fine"),
    [
        (1, _PYTHON, True),
        (-2, _STARTING, True),
        (1, _STARTING, False),
        (-2, _STARTING + _RUNNING, False),
        (-2, _WORKER, False),
        (-2, _STARTING + _WORKER, False),
    ],
    ids=["python starts", "before the program", "an error", "in it", "in a worker", "in both"],
)
def test_a_traceback_is_excused_before_the_program_runs_only(
    status: int, said: str, fine: bool
) -> None:
    assert (_tidy(Ended(status, said + "KeyboardInterrupt\n", 0.1)) == []) == fine


def test_what_a_fault_leaves_is_cleared_away(harness: Harness) -> None:
    harness.scenario("models download")
    before = set(harness.folder.glob("*/*"))
    assert harness.one("models download", "kill", seed=9).lost == []
    assert set(harness.folder.glob("*/*")) == before
