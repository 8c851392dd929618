from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from chordtool.errors import UsageError
from chordtool.training.config import DistillConfig, FinetuneConfig, TrainConfig
from chordtool.training.config_file import resolve


def test_stage_one_is_the_paper_s() -> None:
    c = DistillConfig()
    assert (c.batch_size, c.segment_frames, c.stride, c.epochs, c.patience) == (
        256, 108, 108, 100, 10,
    )  # fmt: skip
    assert (c.weight_decay, c.clip_norm, c.seed) == (1e-5, 1.0, 42)
    assert (c.lr_start, c.lr, c.warmup_epochs, c.lr_end) == (1e-4, 3e-4, 10, 1e-6)
    assert (c.validation_share, c.test_share) == (0.1, 0.1)
    assert (c.loss, c.kd_alpha, c.temperature, c.focal_gamma) == ("cross-entropy", 0.0, 3.0, 2.0)


def test_stage_two_is_the_paper_s() -> None:
    c = FinetuneConfig()
    assert (c.lr, c.stride, c.epochs, c.patience, c.batch_size) == (1e-5, 54, 50, 10, 128)
    assert (c.kd_alpha, c.temperature, c.kd_weighting) == (0.3, 3.0, "selective")
    assert (c.schedule, c.plateau_factor, c.lr_end) == ("plateau", 0.9, 1e-6)


def test_from_scratch_is_the_paper_s_baseline() -> None:
    c = resolve(FinetuneConfig, {"from_scratch": True, "lr": None})
    assert (c.student, c.lr, c.epochs, c.kd_alpha) == ("btc", 1e-4, 100, 0.0)
    assert (c.pitch_low, c.pitch_high) == (-5, 6)
    assert resolve(FinetuneConfig, {"from_scratch": True, "lr": 3e-4}).lr == 3e-4


def test_from_scratch_asked_for_beside_a_file_is_that_baseline_too(tmp_path: Path) -> None:
    FinetuneConfig(student="default", kd_alpha=0.3, batch_size=7).write(tmp_path / "config.json")
    c = resolve(FinetuneConfig, {"from_scratch": True, "lr": 3e-4}, tmp_path)
    assert (c.student, c.kd_alpha, c.pitch_high, c.lr, c.batch_size) == ("btc", 0.0, 6, 3e-4, 7)
    resolve(FinetuneConfig, {"from_scratch": True, "epochs": 3}).write(tmp_path / "config.json")
    c = resolve(FinetuneConfig, {"from_scratch": True}, tmp_path)
    assert (c.student, c.epochs, c.lr) == ("btc", 3, 1e-4)


@pytest.mark.parametrize("kind", [DistillConfig, FinetuneConfig])
def test_augmentation_is_off_unless_asked_for(kind: type[TrainConfig]) -> None:
    c = kind()
    assert not any(
        (c.pitch_low, c.pitch_high, c.jitter_frames, c.gain_db, c.eq_db, c.noise_db,
         c.detune_cents, c.mask_frames, c.mask_bins, c.sustain)
    )  # fmt: skip


def test_a_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    c = DistillConfig(lr=1e-3, corpus=("a", "b"), weight=(1.0, 0.5), dropout=0.1, split="s.json")
    c.write(tmp_path / "config.json")
    assert resolve(DistillConfig, {}, tmp_path / "config.json") == c
    assert resolve(DistillConfig, {}, tmp_path) == c


def test_options_win_over_the_file(tmp_path: Path) -> None:
    DistillConfig(lr=1e-3, epochs=7).write(tmp_path / "config.json")
    c = resolve(DistillConfig, {"lr": 5e-3, "epochs": None, "corpus": ()}, tmp_path)
    assert (c.lr, c.epochs) == (5e-3, 7)


def test_a_file_of_the_other_command_is_refused(tmp_path: Path) -> None:
    FinetuneConfig().write(tmp_path / "config.json")
    with pytest.raises(UsageError, match="does not know") as caught:
        resolve(DistillConfig, {}, tmp_path)
    assert "finetune" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", '{"lr": "fast"}', '{"lr": NaN}', '{"schema": 99}',
             '{"epochs": 1.5}', '{"corpus": "x"}', '{"corpus": [3]}', "[" * 100_000,
             f'{{"lr": 1{"0" * 400}}}']
)  # fmt: skip
def test_a_broken_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(UsageError):
        resolve(DistillConfig, {}, file)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        resolve(DistillConfig, {}, tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -1.0), ("epochs", 0), ("loss", "l2"), ("kd_alpha", 1.5), ("temperature", 0.0),
     ("batch_size", True), ("lr", float("inf")), ("stride", 2.5), ("pitch_high", -3)],
)  # fmt: skip
def test_a_setting_out_of_range_names_its_option(name: str, value: object) -> None:
    with pytest.raises(UsageError, match="--" + name.replace("_", "-")):
        DistillConfig(**{name: value})


def test_a_split_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match="Validation and test"):
        DistillConfig(validation_share=0.5, test_share=0.5)


def test_where_and_how_long_a_run_runs_is_not_its_method() -> None:
    one = DistillConfig(device="cpu", threads=1, max_minutes=5.0, corpus=("a",))
    assert one.method() == DistillConfig().method()
    assert one.method() != DistillConfig(seed=43).method()


@pytest.mark.parametrize("kind", [DistillConfig, FinetuneConfig])
def test_every_setting_says_what_it_is(kind: type[TrainConfig]) -> None:
    for f in fields(kind):
        assert f.metadata["help"].endswith((".", "2e1d.")), f.name
    json.dumps(kind().to_dict())


@pytest.mark.parametrize(("low", "high", "spare"), [(0, 0, 0), (-5, 6, 6), (-7, 2, 7), (0, 3, 3)])
def test_spare_bins_are_needed_for_the_widest_shift(low: int, high: int, spare: int) -> None:
    assert TrainConfig(pitch_low=low, pitch_high=high).spare_semitones == spare


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        TrainConfig().lr = 1.0  # type: ignore[misc]
    assert replace(TrainConfig(), lr=1.0).lr == 1.0


def test_a_students_folder_has_one_name() -> None:
    assert FinetuneConfig(student="runs/d1/").method() == FinetuneConfig(student="runs/d1").method()
    assert FinetuneConfig(student="default").student == "default"
