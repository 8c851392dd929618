from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from chordtool.errors import ChordtoolError, ModelError, TrainingError
from chordtool.frontend import FrontEnd
from chordtool.models.card import CARD_KEY, ModelCard
from chordtool.models.students import build
from chordtool.training import checkpoint
from chordtool.training.muon import Muon

CARD = ModelCard(name="x", architecture="btc", front_end=FrontEnd(mean=-5.0, std=2.0))


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 2)
        self.b = nn.Parameter(torch.zeros(1), requires_grad=False)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    checkpoint.save_checkpoint(path, Toy().state_dict(), CARD)
    return path


def test_weights_and_card_come_back(tmp_path: Path) -> None:
    toy = Toy()
    checkpoint.save_checkpoint(tmp_path / "best.safetensors", toy.state_dict(), CARD)
    for path in (tmp_path, tmp_path / "best.safetensors"):
        card, weights = checkpoint.load_checkpoint(path)
        assert card == CARD
        other = Toy()
        checkpoint.load_weights(other, card, weights, "btc")
        assert torch.equal(other.a.weight, toy.a.weight)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_a_folder_whose_name_is_no_text_holds_checkpoints_too(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    checkpoint.save_checkpoint(folder / "best.safetensors", Toy().state_dict(), CARD)
    assert checkpoint.load_checkpoint(folder)[0] == CARD


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(ModelError, match="no file"):
        checkpoint.load_checkpoint(tmp_path / "pipe.safetensors")


@pytest.mark.parametrize(
    "made",
    [lambda p: torch.optim.AdamW(p, fused=True), lambda p: Muon(p, 1e-3, 1e-2, n_classes=170)],
    ids=["adamw", "muon"],
)
def test_the_optimiser_comes_back_to_the_bit(
    tmp_path: Path, made: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]
) -> None:
    def trained(steps: int, toy: Toy, optimiser: torch.optim.Optimizer) -> None:
        for k in range(steps):
            optimiser.zero_grad()
            toy.a(torch.full((1, 3), float(k + 1))).square().sum().backward()
            optimiser.step()

    torch.manual_seed(0)
    toy = Toy()
    names = [n for n, _ in toy.named_parameters()]
    optimiser = made(toy.parameters())
    trained(3, toy, optimiser)
    state = {"x": 0.1 + 0.2, "history": [{"a": 1e-17}]}
    checkpoint.save_state(tmp_path / "s", toy.state_dict(), {}, optimiser, names, state, CARD)
    document, card, tensors = checkpoint.load_state(tmp_path / "s")
    assert document == {"schema": 1, **state}
    assert card == CARD
    other = Toy()
    other.load_state_dict(checkpoint.part(tensors, "weights."))
    theirs = made(other.parameters())
    checkpoint.restore_optimiser(theirs, names, tensors)
    trained(3, toy, optimiser)
    trained(3, other, theirs)
    assert torch.equal(toy.a.weight, other.a.weight)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_checkpoint_is_one_sentence(saved: Path, share: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ModelError, match="truncated") as caught:
        checkpoint.load_checkpoint(saved)
    assert caught.value.hint
    with pytest.raises(TrainingError, match="cannot go on"):
        checkpoint.load_state(saved)


@pytest.mark.parametrize("first", [0x80, 0x50])
def test_a_header_whose_length_looks_like_a_pickle_is_none(tmp_path: Path, first: int) -> None:
    path = tmp_path / "best.safetensors"
    for padding in range(256):
        card = replace(CARD, description="x" * (padding + 20))
        checkpoint.save_checkpoint(path, Toy().state_dict(), card)
        if path.read_bytes()[0] == first:
            break
    # Headers are padded to eight bytes, so that every eighth value can be their first.
    assert path.read_bytes()[0] == first
    assert checkpoint.load_checkpoint(path)[0] == card


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("through_torch", [False, True])
def test_a_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, through_torch: bool) -> None:
    target, file = tmp_path / "owned", tmp_path / "model.safetensors"
    if through_torch:
        torch.save({"model": Exploit(target)}, file)
    else:
        file.write_bytes(pickle.dumps(Exploit(target)))
    with pytest.raises(ModelError, match="pickle") as caught:
        checkpoint.load_checkpoint(file)
    assert caught.value.hint
    assert not target.exists()


def test_a_missing_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.load_checkpoint(tmp_path / "none.safetensors")


def test_a_foreign_safetensors_file_is_one_sentence(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="no card"):
        checkpoint.load_checkpoint(tmp_path / "foreign.safetensors")


@pytest.mark.parametrize("card", ["", "{}", "[]", '{"schema": 99}', "x" * (2 << 20)])
def test_a_broken_card_is_one_sentence(tmp_path: Path, card: str) -> None:
    save_file({"x": torch.zeros(3)}, tmp_path / "f.safetensors", metadata={CARD_KEY: card})
    with pytest.raises(ModelError):
        checkpoint.load_checkpoint(tmp_path / "f.safetensors")


def test_a_checkpoint_of_another_architecture_is_one_sentence(tmp_path: Path) -> None:
    student = build("2e1d", n_bins=144, n_classes=170)
    weights = build("btc", n_bins=144, n_classes=170).state_dict()
    with pytest.raises(ModelError, match="architecture 'btc', not '2e1d'") as caught:
        checkpoint.load_weights(student, CARD, weights, "2e1d")
    assert "--student btc" in caught.value.hint


def test_weights_that_do_not_fit_their_card_are_one_sentence() -> None:
    toy = Toy()
    for change in (
        {**toy.state_dict(), "a.weight": torch.zeros(2, 4)},
        {**toy.state_dict(), "more": torch.zeros(1)},
        {},
    ):
        with pytest.raises(ModelError, match="do not fit"):
            checkpoint.load_weights(toy, CARD, change)


def test_weights_that_are_not_finite_are_one_sentence() -> None:
    toy = Toy()
    weights = {**toy.state_dict(), "a.bias": torch.tensor([1.0, float("nan")])}
    with pytest.raises(ModelError, match="not finite"):
        checkpoint.load_weights(toy, CARD, weights)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 99}', "[" * 100_000])
def test_a_state_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    metadata = {CARD_KEY: CARD.to_json(), checkpoint.STATE_KEY: text}
    save_file({"x": torch.zeros(1)}, tmp_path / "s", metadata=metadata)
    with pytest.raises(TrainingError):
        checkpoint.load_state(tmp_path / "s")


def test_any_flipped_bit_is_noticed(saved: Path) -> None:
    data = saved.read_bytes()
    wanted = checkpoint.load_checkpoint(saved)
    generator = torch.Generator().manual_seed(0)
    noticed = 0
    for _ in range(300):
        place = int(torch.randint(0, len(data), (1,), generator=generator))
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(torch.randint(0, 8, (1,), generator=generator))
        saved.write_bytes(bytes(damaged))
        try:
            card, weights = checkpoint.load_checkpoint(saved)
        except ChordtoolError:
            noticed += 1
            continue
        # Not noticed: the name of the hash itself, and spaces.
        assert card == wanted[0]
        assert all(torch.equal(weights[k], v) for k, v in wanted[1].items())
    assert noticed > 250


def test_damaged_weights_are_one_sentence(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    data[-2] ^= 1
    saved.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="is damaged"):
        checkpoint.load_checkpoint(saved)


def test_a_state_file_holds_json_and_no_code(tmp_path: Path) -> None:
    toy = Toy()
    optimiser = torch.optim.AdamW(toy.parameters())
    names = [n for n, _ in toy.named_parameters()]
    checkpoint.save_state(tmp_path / "s", toy.state_dict(), {}, optimiser, names, {"k": 1}, CARD)
    raw = (tmp_path / "s").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"][checkpoint.STATE_KEY])["k"] == 1
