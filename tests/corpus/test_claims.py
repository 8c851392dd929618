from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chordtool.corpus.claims import Claims
from tests.waiting import wait_until


def age(path: Path, seconds: float) -> None:
    past = time.time() - seconds
    os.utime(path, (past, past))


def test_one_of_two_gets_a_claim_until_it_is_given_back(tmp_path: Path) -> None:
    with Claims(tmp_path) as ours, Claims(tmp_path) as theirs:
        assert ours.take("a")
        assert not theirs.take("a")
        assert not theirs.is_free("a")
        assert theirs.take("b")
        ours.release("a")
        assert theirs.take("a")


def test_nobody_gets_a_claim_twice(tmp_path: Path) -> None:
    with Claims(tmp_path) as ours:
        assert ours.take("a")
        assert not ours.take("a")


def test_claims_are_given_back_in_the_end(tmp_path: Path) -> None:
    with Claims(tmp_path) as ours:
        ours.take("a")
    assert list(tmp_path.glob("*.claim")) == []


def test_a_claim_that_nobody_renews_is_taken_over(tmp_path: Path) -> None:
    with Claims(tmp_path, expiry_seconds=3600) as theirs, Claims(tmp_path, 60) as ours:
        theirs.take("a")
        age(tmp_path / "a.claim", 30)
        assert not ours.take("a")
        age(tmp_path / "a.claim", 61)
        assert ours.is_free("a")
        assert ours.take("a")
        theirs.release("a")  # no longer theirs
        assert (tmp_path / "a.claim").exists()


def test_a_damaged_claim_is_waited_for_as_long_as_its_holder_needs_to_renew_it(
    tmp_path: Path,
) -> None:
    claim = tmp_path / "a.claim"
    claim.write_text('{"host": "some')
    with Claims(tmp_path, 60) as ours:
        age(claim, 19)
        assert not ours.take("a")
        age(claim, 21)
        assert ours.take("a")


def test_a_claim_is_renewed_while_its_holder_lives(tmp_path: Path) -> None:
    claim = tmp_path / "a.claim"
    with Claims(tmp_path, expiry_seconds=6) as theirs, Claims(tmp_path, 6) as ours:
        theirs.take("a")
        age(claim, 3)
        aged = claim.stat().st_mtime
        wait_until(lambda: claim.stat().st_mtime > aged, "a renewal", seconds=30)
        assert not ours.take("a")


def test_the_claim_of_a_dead_process_of_this_machine_is_taken_over_at_once(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from chordtool.corpus.claims import Claims;"
        "Claims(Path(sys.argv[1])).take('a'); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    with Claims(tmp_path) as ours:
        assert not ours.others()
        assert ours.take("a")


def test_the_claim_of_another_machine_waits_for_its_time(tmp_path: Path) -> None:
    claim = tmp_path / "a.claim"
    claim.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    with Claims(tmp_path) as ours:
        assert not ours.take("a")
        assert ours.others()
        age(claim, 1000)
        assert ours.take("a")


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"host": 3, "pid": "x"}', b"\xff"])
def test_a_claim_that_makes_no_sense_expires_like_others(tmp_path: Path, content: bytes) -> None:
    claim = tmp_path / "a.claim"
    claim.write_bytes(content)
    with Claims(tmp_path) as ours:
        assert not ours.take("a")
        age(claim, 1000)
        assert ours.take("a")


def test_sweeping_removes_what_is_nobodys(tmp_path: Path) -> None:
    with Claims(tmp_path) as ours, Claims(tmp_path) as theirs:
        theirs.take("kept")
        (tmp_path / "lost.claim").write_text("{}")
        age(tmp_path / "lost.claim", 1000)
        ours.sweep()
        assert [p.name for p in tmp_path.glob("*.claim")] == ["kept.claim"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc here")
def test_the_claim_of_a_process_that_ended_and_that_nobody_looks_after_is_free(
    tmp_path: Path,
) -> None:
    code = f"""
import os, sys
from pathlib import Path
from chordtool.corpus.claims import Claims
claims = Claims(Path({str(tmp_path)!r}))
claims.__enter__()
assert claims.take("a")
os._exit(0)
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    with Claims(tmp_path) as ours:
        assert ours.take("a")
    process.wait()
