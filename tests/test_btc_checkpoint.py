from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chordtool.errors import ModelError
from chordtool.models import btc_checkpoint
from chordtool.models.btc_checkpoint import read_checkpoint


def content(**values: Any) -> dict[str, Any]:
    """A small checkpoint of the public format."""
    tensors = OrderedDict(a=torch.arange(6.0).view(2, 3), b=torch.ones(2))
    tensors["output_layer.lstm.bias"] = torch.zeros(3)
    return {"model": tensors, "mean": np.float64(-2.5), "std": np.float64(1.5), **values}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


class Exploit:
    """A pickle of it creates a file when it is loaded."""

    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call, self.arguments


def test_the_public_format_is_read(path: Path) -> None:
    torch.save(content(), path)
    found = read_checkpoint(path)
    assert (found.mean, found.std) == (-2.5, 1.5)
    assert list(found.weights) == ["a", "b"]
    assert torch.equal(found.weights["a"], torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize("scalar", [float, np.float32, np.float64])
def test_scalars_may_be_numpys_or_pythons(scalar: type, path: Path) -> None:
    torch.save(content(mean=scalar(0.1), std=scalar(3.0)), path)
    assert read_checkpoint(path).mean == float(scalar(0.1))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_numpys_old_and_new_names_are_understood(module: str, path: Path) -> None:
    torch.save(content(), path)
    swap_program(
        path,
        lambda program: program.replace(b"numpy._core.multiarray", module.encode()).replace(
            b"numpy.core.multiarray", module.encode()
        ),
    )
    assert read_checkpoint(path).mean == -2.5


def swap_program(path: Path, change: Callable[[bytes], bytes], compress: bool = False) -> None:
    """Write the archive anew with another pickle."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name, change(data) if name.endswith("/data.pkl") else data)


@pytest.mark.parametrize("where", ["mean", "model", "beside", "instead"])
def test_a_pickle_that_runs_code_does_not(where: str, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    exploit = Exploit(os.system, f"touch {trace}")
    if where == "instead":
        torch.save(exploit, path)
    else:
        torch.save(content(**{"optimizer" if where == "beside" else where: exploit}), path)
    # It is a real one: the plain loader runs it.
    torch.load(path, weights_only=False)
    assert trace.exists()
    trace.unlink()
    with pytest.raises(ModelError, match="system"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_plain_pickles_are_not_opened(protocol: int, path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    path.write_bytes(pickle.dumps(Exploit(os.mkdir, str(trace)), protocol))
    with pytest.raises(ModelError):
        read_checkpoint(path)
    assert not trace.exists()


def test_names_that_are_put_together_at_run_time_are_refused(path: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    torch.save(content(), path)
    program = pickle.dumps(Exploit(os.mkdir, str(trace)), 4)
    swap_program(path, lambda _: program)
    with pytest.raises(ModelError, match="could run code"):
        read_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "call", [bytearray, torch.device, torch.empty, torch.load, eval, np.dtype.__call__]
)
def test_calls_that_torch_itself_would_allow_are_refused_too(call: Any, path: Path) -> None:
    torch.save(content(optimizer=Exploit(call, 1 << 40)), path)
    with pytest.raises(ModelError, match="calls"):
        read_checkpoint(path)


@pytest.mark.parametrize("bad", ["object", "order", "codec", "length"])
def test_numpy_scalars_that_are_not_numbers_are_refused(bad: str, path: Path) -> None:
    changes = {
        "object": (b"\x02\x00\x00\x00f8", b"\x02\x00\x00\x00O8"),
        "order": (b"\x01\x00\x00\x00<", b"\x01\x00\x00\x00|"),
        "codec": (b"\x06\x00\x00\x00latin1", b"\x06\x00\x00\x00punyco"),
        "length": (b"\x02\x00\x00\x00f8", b"\x02\x00\x00\x00f4"),
    }
    torch.save(content(), path)
    before, after = changes[bad]

    def change(program: bytes) -> bytes:
        assert before in program
        return program.replace(before, after)

    swap_program(path, change)
    with pytest.raises(ModelError, match="torch cannot read it"):
        read_checkpoint(path)


def test_a_packed_archive_is_not_unpacked(path: Path) -> None:
    torch.save(content(), path)
    swap_program(path, lambda program: program + bytes(4 << 20), compress=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(path)


def test_sizes_are_limited(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(content(), path)
    for limit, word in (("MAX_PICKLE_BYTES", "pickle"), ("MAX_BYTES", "larger")):
        monkeypatch.setattr(btc_checkpoint, limit, 100)
        with pytest.raises(ModelError, match=word):
            read_checkpoint(path)
        monkeypatch.undo()
    monkeypatch.setattr(btc_checkpoint, "MAX_ENTRIES", 3)
    with pytest.raises(ModelError, match="too many"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": None},
        {"model": {"a": 3}},
        {"model": {1: torch.ones(2)}},
        {"mean": None},
        {"mean": float("nan")},
        {"std": 0.0},
        {"std": np.float64("inf")},
        {"std": "1"},
        {"mean": torch.ones(())},
    ],
)
def test_another_content_is_one_sentence(wrong: dict[str, Any], path: Path) -> None:
    torch.save(content(**wrong), path)
    with pytest.raises(ModelError) as caught:
        read_checkpoint(path)
    assert caught.value.hint


def test_what_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    for missing in (tmp_path, tmp_path / "nothing.pt"):
        with pytest.raises(ModelError):
            read_checkpoint(missing)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    at=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
    length=st.floats(0, 1) | st.just(1.0),
)
def test_damage_never_shows_another_error(
    at: list[tuple[float, int]], length: float, tmp_path: Path
) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save(content(), path)
    data = bytearray(path.read_bytes())
    for place, value in at:
        data[int(place * (len(data) - 1))] = value
    path.write_bytes(data[: int(length * len(data))])
    with suppress(ModelError):
        read_checkpoint(path)
