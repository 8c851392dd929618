from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from chordtool.training.losses import (
    combine,
    cross_entropy_sum,
    distillation_sum,
    loss_sums,
    selective_weights,
    usable_labels,
)
from chordtool.vocabulary import N_CLASSES, N_INDEX, X_INDEX
from tests.training.made import config


def logits(frames: int = 40, seed: int = 0, scale: float = 6.0) -> torch.Tensor:
    return scale * torch.randn(frames, N_CLASSES, generator=torch.Generator().manual_seed(seed))


def softmax(values: list[float]) -> list[float]:
    peak = max(values)
    exponents = [math.exp(v - peak) for v in values]
    return [e / sum(exponents) for e in exponents]


def naive_selective_kd(student: torch.Tensor, teacher: torch.Tensor, tau: float) -> float:
    """The formula of the specification, a frame at a time, in plain Python."""
    total = 0.0
    for z_s, z_t in zip(student.tolist(), teacher.tolist(), strict=True):
        p = softmax([z / tau for z in z_t])
        q = softmax([z / tau for z in z_s])
        c = max(p)
        if c < 0.1:
            weight = 0.0
        elif c <= 0.9:
            weight = 1.0
        else:
            weight = 1 - 0.8 * (c - 0.9) / 0.1
        total += weight * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)
    return tau**2 * total / len(student)


@pytest.mark.parametrize("tau", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("scale", [0.1, 3.0, 20.0])
def test_selective_distillation_is_the_formula_frame_by_frame(tau: float, scale: float) -> None:
    student, teacher = logits(seed=1), logits(seed=2, scale=scale)
    ours = distillation_sum(student, teacher, tau) / len(student)
    assert ours.item() == pytest.approx(naive_selective_kd(student, teacher, tau), rel=2e-4)


def test_frames_of_weight_zero_stay_in_the_mean() -> None:
    student = logits(seed=1)
    flat, sharp = torch.zeros(40, N_CLASSES), logits(seed=2, scale=4.0)
    mixed = torch.cat([sharp, flat])
    alone = distillation_sum(student, sharp, 3.0) / 40
    together = distillation_sum(torch.cat([student, student]), mixed, 3.0) / 80
    assert together.item() == pytest.approx(alone.item() / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("confidence", "weight"), [(0.0, 0), (0.0999, 0), (0.1, 1), (0.9, 1), (0.95, 0.6), (1.0, 0.2)]
)
def test_the_weight_of_a_frame(confidence: float, weight: float) -> None:
    given = torch.tensor([confidence], dtype=torch.float64)
    assert selective_weights(given).item() == pytest.approx(weight, abs=1e-9)


def test_plain_distillation_is_torch_s_kl_divergence() -> None:
    student, teacher, tau = logits(seed=1), logits(seed=2), 3.0
    expected = tau**2 * F.kl_div(
        F.log_softmax(student / tau, -1), F.softmax(teacher / tau, -1), reduction="sum"
    )
    ours = distillation_sum(student, teacher, tau, selective=False)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_student_that_agrees_with_its_teacher_has_nothing_to_learn() -> None:
    teacher = logits()
    assert distillation_sum(teacher + 3.0, teacher, 3.0).item() == pytest.approx(0, abs=1e-3)


@given(st.integers(0, 2**31 - 1))
def test_masked_frames_do_not_touch_the_loss(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.from_numpy(rng.integers(-1, N_CLASSES, (2, 10)).astype(np.int16))
    scores = torch.randn(2, 10, N_CLASSES, generator=torch.Generator().manual_seed(seed))
    masked = (labels < 0) | (labels == X_INDEX)
    other = torch.where(masked[..., None], torch.randn_like(scores), scores)
    first = loss_sums(scores, labels, None, None, config())
    second = loss_sums(other, labels, None, None, config())
    assert first.hard.item() == second.hard.item()
    assert first.labelled.item() == int((~masked).sum())


def test_no_chord_counts_and_x_does_not() -> None:
    labels = torch.tensor([N_INDEX, X_INDEX, -1, 0], dtype=torch.int16)
    assert usable_labels(labels).tolist() == [N_INDEX, -100, -100, 0]


def test_the_focal_loss_is_its_formula() -> None:
    scores, labels = logits(), torch.arange(40)
    p = scores.softmax(-1)[torch.arange(40), labels].double()
    expected = (-((1 - p) ** 2.0) * p.log()).sum()
    assert cross_entropy_sum(scores, labels, 2.0).item() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "gamma"),
    [({}, 0.0), ({"loss": "focal"}, 2.0), ({"loss": "focal", "focal_gamma": 1.0}, 1.0)],
)
def test_the_loss_on_labels_is_the_one_that_was_asked_for(
    settings: dict[str, Any], gamma: float
) -> None:
    scores, labels = logits(20), torch.ones(2, 10, dtype=torch.int16)
    found = loss_sums(scores.view(2, 10, -1), labels, None, None, config(**settings)).hard
    expected = cross_entropy_sum(scores, labels.long().flatten(), gamma)
    assert found.item() == expected.item()


@pytest.mark.parametrize("weighting", ["selective", "plain"])
def test_frames_count_for_the_teacher_as_it_was_asked_for(weighting: str) -> None:
    student, teacher = logits(20), logits(20, seed=5, scale=20.0)
    labels, seen = torch.ones(2, 10, dtype=torch.int16), torch.ones(2, 10, dtype=torch.bool)
    setting = config(kd_alpha=0.5, kd_weighting=weighting)
    found = loss_sums(student.view(2, 10, -1), labels, teacher.view(2, 10, -1), seen, setting).soft
    expected = distillation_sum(student, teacher, 3.0, selective=weighting == "selective")
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_segment_of_twice_the_weight_counts_twice() -> None:
    scores = logits(20).view(2, 10, N_CLASSES)
    labels = torch.ones(2, 10, dtype=torch.int16)
    teacher = logits(20, seed=5).view(2, 10, -1)
    seen = torch.tensor([[True] * 10, [True] * 4 + [False] * 6])
    setting, copies = config(kd_alpha=0.5), [0, 0, 1]
    weighted = loss_sums(scores, labels, teacher, seen, setting, torch.tensor([2.0, 1.0]))
    twice = loss_sums(scores[copies], labels[copies], teacher[copies], seen[copies], setting)
    for share in ("hard", "hard_count", "soft", "soft_count"):
        expected = getattr(twice, share).item()
        assert getattr(weighted, share).item() == pytest.approx(expected, rel=1e-5), share


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_frame_that_is_surely_right_has_a_slope(gamma: float) -> None:
    scores = torch.zeros(2, N_CLASSES)
    scores[0, 3] = 60.0
    scores.requires_grad_()
    cross_entropy_sum(scores, torch.tensor([3, 3]), gamma).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0].abs().max() < 1e-6 < scores.grad[1].abs().max()


def test_both_terms_are_mixed_by_alpha() -> None:
    scores, teacher = logits(20).view(2, 10, -1), logits(20, seed=5).view(2, 10, -1)
    labels = torch.ones(2, 10, dtype=torch.int16)
    seen = torch.ones(2, 10, dtype=torch.bool)
    setting = config(kd_alpha=0.3)
    sums = loss_sums(scores, labels, teacher, seen, setting)
    loss = combine(sums, sums.hard_count, sums.soft_count, 0.3)
    hard = F.cross_entropy(scores.flatten(0, 1), labels.long().flatten())
    soft = naive_selective_kd(scores.flatten(0, 1), teacher.flatten(0, 1), 3.0)
    assert loss.item() == pytest.approx(0.7 * hard.item() + 0.3 * soft, rel=1e-4)


def test_what_was_computed_in_half_precision_is_compared_in_float32() -> None:
    scores = logits(20).view(2, 10, N_CLASSES).bfloat16()
    labels = torch.ones(2, 10, dtype=torch.int16)
    found = loss_sums(scores, labels, None, None, config()).hard
    assert found.dtype == torch.float32
    assert found.item() == loss_sums(scores.float(), labels, None, None, config()).hard.item()


def test_frames_without_a_teacher_learn_from_labels_alone() -> None:
    scores, teacher = logits(20).view(2, 10, -1), logits(20, seed=5).view(2, 10, -1)
    labels = torch.ones(2, 10, dtype=torch.int16)
    seen = torch.zeros(2, 10, dtype=torch.bool)
    seen[0] = True
    sums = loss_sums(scores, labels, teacher, seen, config(kd_alpha=0.3))
    assert sums.soft_count.item() == 10
    assert sums.soft.item() == pytest.approx(distillation_sum(scores[0], teacher[0], 3.0).item())


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_a_batch_without_labels_or_teacher_has_nothing_to_learn(alpha: float) -> None:
    scores = logits(20).view(2, 10, -1).requires_grad_()
    labels = torch.full((2, 10), -1, dtype=torch.int16)
    teacher, seen = torch.zeros(2, 10, N_CLASSES), torch.zeros(2, 10, dtype=torch.bool)
    sums = loss_sums(scores, labels, teacher, seen, config(kd_alpha=alpha))
    loss = combine(sums, sums.hard_count, sums.soft_count, alpha)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("share", [1.0, 0.125])
def test_a_mean_over_less_than_a_frame_is_still_a_mean(share: float) -> None:
    """As where eight processes have one labelled frame between them, or teachers hardly agree."""
    scores, teacher = logits(20).view(2, 10, -1), logits(20, seed=5).view(2, 10, -1)
    labels = torch.full((2, 10), -1, dtype=torch.int16)
    labels[0, 0] = 1
    seen = labels >= 0
    setting, weights = config(kd_alpha=0.3), torch.full((2,), share)
    whole = loss_sums(scores, labels, teacher, seen, setting)
    part = loss_sums(scores, labels, teacher, seen, setting, weights)
    expected = combine(whole, whole.hard_count, whole.soft_count, 0.3).item()
    found = combine(part, part.hard_count, part.soft_count, 0.3).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_balance_learns_what_the_priors_do_not_say() -> None:
    """A student that says nothing but the prior has a balanced loss of logits that say nothing."""
    labels = torch.ones(2, 10, dtype=torch.int16)
    prior = torch.log_softmax(logits(1, seed=3)[0], -1)
    nothing = torch.zeros(2, 10, N_CLASSES)
    balanced = loss_sums(nothing, labels, None, None, config(balance=1.0), None, prior)
    plain = loss_sums(prior.expand(2, 10, -1), labels, None, None, config())
    assert balanced.hard.item() == pytest.approx(plain.hard.item(), rel=1e-5)
    off = loss_sums(nothing, labels, None, None, config(), None, prior)
    assert off.hard.item() == pytest.approx(20 * math.log(N_CLASSES), rel=1e-5)


def test_balance_pulls_harder_where_a_class_is_rare() -> None:
    prior = torch.full((N_CLASSES,), math.log(1e-4))
    prior[1] = math.log(0.98)
    gradients = {}
    for label in (1, 7):
        scores = torch.zeros(1, 1, N_CLASSES, requires_grad=True)
        labels = torch.tensor([[label]], dtype=torch.int16)
        loss_sums(scores, labels, None, None, config(balance=0.5), None, prior).hard.backward()
        assert scores.grad is not None
        gradients[label] = -scores.grad[0, 0, label].item()
    assert gradients[7] > 1.5 * gradients[1]
