"""torchvision's box losses: the package's own functions where it is installed, else its published formulas in PyTorch."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest
from cases import need

import fastloss as fl

pytestmark = pytest.mark.peers
torch = need("torch")
EPS = 1e-7


def formula(kind: str, a: Any, b: Any) -> Any:
    """Intersection and union with eps in each denominator, as torchvision has them; alpha of ciou without a gradient."""
    x1, y1, x2, y2 = a.unbind(-1)
    u1, v1, u2, v2 = b.unbind(-1)
    width = (torch.min(x2, u2) - torch.max(x1, u1)).clamp(min=0)
    height = (torch.min(y2, v2) - torch.max(y1, v1)).clamp(min=0)
    both = width * height
    union = (x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - both
    loss = 1 - both / (union + EPS)
    w, h = torch.max(x2, u2) - torch.min(x1, u1), torch.max(y2, v2) - torch.min(y1, v1)
    if kind == "giou":
        return loss + (w * h - union) / (w * h + EPS)
    away = (((x1 + x2) - (u1 + u2)) ** 2 + ((y1 + y2) - (v1 + v2)) ** 2) / 4 / (w**2 + h**2 + EPS)
    if kind == "ciou":
        turn = 4 / math.pi**2 * (torch.atan((u2 - u1) / (v2 - v1)) - torch.atan((x2 - x1) / (y2 - y1))) ** 2
        with torch.no_grad():
            alpha = turn / (loss + turn + EPS)
        away = away + alpha * turn
    return loss + away


def theirs(kind: str, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes = torch.tensor(a, requires_grad=True)
    try:
        names = {"giou": "generalized_box_iou_loss", "diou": "distance_box_iou_loss", "ciou": "complete_box_iou_loss"}
        values = getattr(importlib.import_module("torchvision.ops"), names[kind])(boxes, torch.tensor(b), eps=EPS)
    except ImportError:
        values = formula(kind, boxes, torch.tensor(b))
    values.sum().backward()
    return values.detach().numpy(), boxes.grad.numpy()


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_values_and_gradients(kind: str) -> None:
    (a, b), _ = fl.box_iou.sample(np.random.default_rng(0), "float64", 300)
    values, slopes = theirs(kind, a, b)
    np.testing.assert_allclose(fl.box_iou(a, b, kind=kind, eps=EPS, reduction="none"), values, rtol=1e-9)
    ours = fl.box_iou.grad(a, b, kind=kind, eps=EPS, reduction="none")
    if kind == "ciou":  # whose alpha they take for a constant: not the slope of the value
        assert np.abs(ours - slopes).max() > 1e-4
    else:
        np.testing.assert_allclose(ours, slopes, rtol=1e-8, atol=1e-12)


def test_a_perfect_box_is_not_quite_0_with_eps() -> None:
    (a, _), _ = fl.box_iou.sample(np.random.default_rng(0), "float64", 9)
    assert (fl.box_iou(a, a.copy(), eps=EPS, reduction="none") > 0).all()
    assert not fl.box_iou(a, a.copy(), reduction="none").any()
