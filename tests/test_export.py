from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from chordtool import cli
from chordtool.errors import ExitCode, ModelError, UsageError
from chordtool.export import TRIALS, check_parity, export, export_run, to_bytes
from chordtool.frontend import FrontEnd
from chordtool.models.card import ModelCard
from chordtool.models.onnx import OnnxModel
from chordtool.models.students import build, from_onnx
from chordtool.testing import check_model
from chordtool.training.checkpoint import BEST, LAST, save_checkpoint

ARCHITECTURES = ("btc", "2e1d")


def card(architecture: str) -> ModelCard:
    return ModelCard(
        name="mine",
        architecture=architecture,
        front_end=FrontEnd(mean=-7.0, std=2.5),
        teacher="lv",
        training={"data": [{"name": "songs", "sha256": "0" * 64}]},
        metrics={"majmin songs": 0.9},
    )


def student(architecture: str, seed: int = 0) -> nn.Module:
    """A student whose every parameter matters: none is 0 or 1 as they are at first."""
    torch.manual_seed(seed)
    module = build(architecture, n_bins=144, n_classes=170).eval()
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2 and parameter.requires_grad:
            nn.init.normal_(parameter, 1.0 if name.endswith("gamma") else 0.2, 0.2)
    return module


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_exported_model_computes_what_torch_computes(architecture: str, tmp_path: Path) -> None:
    module = student(architecture)
    written = export(module, card(architecture), tmp_path / "mine.onnx")
    assert written.difference < 2e-5
    assert written.size == (tmp_path / "mine.onnx").stat().st_size <= 13_000_000
    model = OnnxModel.from_file(tmp_path / "mine.onnx")
    assert model.card == card(architecture)
    features = np.random.default_rng(1).normal(-7, 2.5, (108, 144)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(model.card.front_end.normalise(features))[None])[0]
    np.testing.assert_allclose(model.logits(features), wanted.numpy(), atol=2e-5)
    check_model(model)


def test_parity_is_tried_at_five_lengths_and_with_batches() -> None:
    assert len({n_frames for _, n_frames in TRIALS}) == 5
    assert max(batch for batch, _ in TRIALS) > 1


def test_the_file_is_valid_and_of_an_old_enough_opset(architecture: str) -> None:
    model = onnx.load_model_from_string(to_bytes(student(architecture), card(architecture)))
    onnx.checker.check_model(model, full_check=True)
    # ONNX Runtime 1.19 knows opsets up to 21 and IR versions up to 10.
    assert [o.version <= 21 for o in model.opset_import] == [True]
    assert model.ir_version <= 10


def test_the_same_student_gives_the_same_bytes(architecture: str) -> None:
    first, second = (to_bytes(student(architecture), card(architecture)) for _ in range(2))
    assert first == second


def test_an_exported_student_comes_back_into_torch(architecture: str, tmp_path: Path) -> None:
    module = student(architecture)
    path = tmp_path / "mine.onnx"
    export(module, card(architecture), path)
    for again, its_card in (from_onnx(path), from_onnx(path.read_bytes())):
        assert its_card == card(architecture)
        found = again.state_dict()
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                torch.testing.assert_close(found[name], parameter.data, rtol=2e-7, atol=0)
        features = torch.randn(2, 30, 144)
        with torch.no_grad():
            torch.testing.assert_close(again.eval()(features), module(features), atol=1e-5, rtol=0)


def test_exporting_again_what_came_back_changes_nothing_that_matters(architecture: str) -> None:
    data = to_bytes(student(architecture), card(architecture))
    module, its_card = from_onnx(data)
    check_parity(module, its_card, data)


@pytest.mark.parametrize("broken", ["renamed", "missing", "other shape", "not finite", "no card"])
def test_weights_that_do_not_fit_are_not_loaded_into_torch(broken: str) -> None:
    model = onnx.load_model_from_string(to_bytes(student("2e1d"), card("2e1d")))
    bias = next(t for t in model.graph.initializer if t.name == "classifier.bias")
    if broken == "renamed":
        bias.name = "classifier.other"
    elif broken == "missing":
        model.graph.initializer.remove(bias)
    elif broken == "other shape":
        bias.dims[:] = [2, 85]
    elif broken == "not finite":
        bias.raw_data = np.full(170, np.nan, np.float32).tobytes()
    else:
        del model.metadata_props[:]
    with pytest.raises(ModelError):
        from_onnx(model.SerializeToString())


def test_a_file_of_another_architecture_is_not_loaded_into_torch() -> None:
    data = to_bytes(student("2e1d"), card("2e1d"))
    model = onnx.load_model_from_string(data)
    model.metadata_props[0].value = card("btc").to_json()
    with pytest.raises(ModelError, match="do not fit"):
        from_onnx(model.SerializeToString())


def test_a_model_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = to_bytes(student("2e1d", seed=1), card("2e1d"))
    monkeypatch.setattr("chordtool.export.to_bytes", lambda *_: other)
    (tmp_path / "mine.onnx").write_bytes(b"what was there")
    with pytest.raises(ModelError, match="are off by"):
        export(student("2e1d"), card("2e1d"), tmp_path / "mine.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.onnx"]
    assert (tmp_path / "mine.onnx").read_bytes() == b"what was there"


def test_weights_that_are_not_finite_are_not_exported() -> None:
    module = student("2e1d")
    assert isinstance(module.classifier, nn.Linear)
    nn.init.constant_(module.classifier.bias, float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        to_bytes(module, card("2e1d"))


def test_a_card_of_another_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match="not those of"):
        to_bytes(student("2e1d"), card("btc"))
    with pytest.raises(ModelError, match="cannot be exported"):
        to_bytes(student("2e1d"), card("lv"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run with two checkpoints that differ."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name, seed in ((BEST, 0), (LAST, 1)):
        save_checkpoint(folder / name, student("2e1d", seed).state_dict(), card("2e1d"))
    return folder


def test_the_command_exports_the_best_checkpoint_of_a_run(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.onnx"
    arguments = ["export", str(run), "-o", str(output), "--json", "--name", "ours"]
    assert cli.run(arguments) == ExitCode.OK
    said = json.loads(capsys.readouterr().out)
    assert said["path"] == str(output)
    assert said["size"] == output.stat().st_size
    module, its_card = from_onnx(output)
    assert its_card.name == said["name"] == "ours"
    wanted = student("2e1d").state_dict()["classifier.weight"]
    assert torch.equal(module.state_dict()["classifier.weight"], wanted)
    # It does not replace a file that is there, unless asked; a link to it stays one.
    assert cli.run(arguments) == ExitCode.USAGE
    link = tmp_path / "link.onnx"
    link.symlink_to(output)
    arguments[3] = str(link)
    assert cli.run([*arguments, "--overwrite", "--last"]) == ExitCode.OK
    assert link.is_symlink()
    wanted = student("2e1d", 1).state_dict()["classifier.weight"]
    assert torch.equal(from_onnx(output)[0].state_dict()["classifier.weight"], wanted)


def test_what_cannot_be_exported_is_said_in_one_sentence(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.onnx"
    with pytest.raises(ModelError):
        export_run(tmp_path / "nothing", output)
    with pytest.raises(UsageError, match=r"\.onnx"):
        export_run(run, tmp_path / "mine.pt")
    with pytest.raises(UsageError, match="no place"):
        export_run(run, tmp_path / "nowhere" / "mine.onnx")
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(UsageError, match="no place"):
        export_run(run, tmp_path / "pipe.onnx", overwrite=True)
    with pytest.raises(UsageError, match="not the folder"):
        export_run(run / BEST, output, last=True)
    (run / BEST).write_bytes((run / BEST).read_bytes()[:1000])
    with pytest.raises(ModelError, match="truncated"):
        export_run(run, output)
    assert not output.exists()


def test_a_model_without_a_name_is_misuse(run: Path, tmp_path: Path) -> None:
    """Its students would have a teacher that their cards do not name."""
    for name in ("", " "):
        with pytest.raises(UsageError, match="needs a name"):
            export_run(run, tmp_path / "x.onnx", name=name)
    assert not (tmp_path / "x.onnx").exists()


def test_running_an_exported_student_imports_no_torch(tmp_path: Path) -> None:
    export(student("2e1d"), card("2e1d"), tmp_path / "mine.onnx")
    script = (
        "import sys, numpy as np; from chordtool.models import load_model;"
        f"m = load_model({str(tmp_path / 'mine.onnx')!r});"
        "m.logits(m.features(np.zeros(22050, np.float32)));"
        "assert not {'torch', 'onnx', 'librosa', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
