"""Overlaps of regions: items of C classes (along axis 1) and S positions; targets become masks (N, C, S)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .exact import EXTENDED, LONG, MP, Exact, Field, Truth, log, once


class Regions:
    """Probabilities and their complements, sums over positions, and slopes by the chain rule, all without cancellation."""

    def __init__(self, x: ArrayLike, target: ArrayLike, field: Field, activation: str | None, ignore_index: int | None) -> None:
        x, target = np.asarray(x), np.asarray(target)
        n, classes = x.shape[:2]
        self.shape, self.field, self.activation = x.shape, field, activation
        x = field.lift(x).reshape(n, classes, -1)
        y = target.reshape(n, -1)
        self.counted = np.ones(y.shape, bool) if ignore_index is None else y != ignore_index
        self.keep = np.broadcast_to(self.counted[:, None], x.shape)
        self.t = (y[:, None] == np.arange(classes)[:, None]) & self.keep
        if activation == "softmax":
            shift = x - x.max(axis=1, keepdims=True)
            e = field.exp(shift)
            others = np.stack([np.delete(e, c, axis=1).sum(axis=1) for c in range(classes)], axis=1)
            total = e.sum(axis=1, keepdims=True)
            self.p, self.q = e / total, others / total
            self.away = -shift + field.log1p(total - 1) if classes == 1 else field.log1p(others / e)
        else:
            self.p, self.q = 1 / (1 + field.exp(-x)), 1 / (1 + field.exp(x))
            self.away = field.log1p(field.exp(np.where(self.t, -x, x)))
        zero = field.lift(0.0)[()]
        self.one = field.lift(np.ones(()))[()]
        self.zero = zero

    def sum(self, a: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.where(where & self.keep, a, self.zero).sum(axis=2)

    def chain(self, g: np.ndarray) -> np.ndarray:
        """From slopes in p to slopes in the logits; `size` becomes what rounding is relative to."""
        g = np.where(self.keep, g, self.zero)
        if self.activation == "sigmoid":
            slope = g * self.p * self.q
            self.size = np.abs(slope)
            return slope
        pairs = g[:, :, None] - g[:, None, :]
        size = np.abs(g) * self.p + self.p * (np.abs(g) * self.p).sum(axis=1, keepdims=True)
        self.size = np.where(self.keep, size, self.zero)
        return self.p * (pairs * self.p[:, None, :]).sum(axis=2)


def overlap(
    name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], field: Field
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values, weights, gradient of the values' weighted sum, and the scale of its errors."""
    o = {"activation": "softmax", "smooth": 0.0, "squared": False, "include_background": True, "ignore_index": None} | options
    r = Regions(*args, field, o["activation"], o["ignore_index"])
    first, classes = int(not o["include_background"]), r.p.shape[1]
    cw = np.ones(classes) if o.get("class_weight") is None else np.asarray(o["class_weight"], np.float64)
    weight = np.broadcast_to(r.counted.any(axis=1)[:, None] * cw, r.p.shape[:2])
    if name == "lovasz":
        present = o["activation"] == "softmax" if o.get("only_present") is None else o["only_present"]
        weight = weight * (r.t.any(axis=2) if present else 1.0)
        values, g = _lovasz(r)
    elif name == "generalized_dice":
        values, g, weight = _generalized(r, first, o["smooth"])
        first = 0
    else:
        values, g = _ratios(name, r, o)
    weight = weight.copy()
    weight[:, :first] = 0.0
    lifted = field.lift(weight)
    grad = r.chain(g * lifted[:, :, None])
    size = r.size
    if name == "dice_cross_entropy":
        grad, size, values = _with_entropy(r, o, cw, lifted, values, grad, size)
    values = np.where(weight == 0, r.zero, values * lifted)
    if name == "generalized_dice":
        return values[:, 0], weight[:, 0], grad.reshape(r.shape), size.reshape(r.shape)
    return values[:, first:], weight[:, first:], grad.reshape(r.shape), size.reshape(r.shape)


def _ratios(name: str, r: Regions, o: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Values wrong / (hits TP + wrong + smooth) to a power, and their slopes in each p."""
    lift = r.field.lift
    hits = 2 if name.startswith("dice") else 1
    alpha, beta = (lift(o.get(k, 0.5))[()] for k in ("alpha", "beta")) if "tversky" in name else (r.one, r.one)
    gamma = o.get("gamma", 0.75) if name == "focal_tversky" else 1.0
    k = 2 if o["squared"] else 1
    tp, fp, fn = r.sum(r.p, r.t), r.sum(r.p**k, ~r.t), r.sum(r.q**k, r.t)
    wrong, right = alpha * fp + beta * fn, hits * tp + lift(o["smooth"])[()]
    whole = wrong + right
    whole = np.where(whole == 0, r.one, whole)
    value = wrong / whole
    if gamma != 1:
        safe = np.where(value == 0, r.one, value)
        power = np.where(value == 0, r.zero, r.field.exp(lift(gamma) * log(safe)))
        outer = lift(gamma) * power / safe
    else:
        power, outer = value, value * 0 + 1
    d_wrong, d_tp = (outer * right / whole**2)[:, :, None], (-outer * hits * wrong / whole**2)[:, :, None]
    slope_p = k * r.p ** (k - 1)
    slope_q = k * r.q ** (k - 1)
    return power, np.where(r.t, d_tp - d_wrong * beta * slope_q, d_wrong * alpha * slope_p)


def _generalized(r: Regions, first: int, smooth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    volume = r.t.sum(axis=2)
    present = volume > 0
    w = np.where(present, 1 / np.where(present, r.field.lift(volume), r.one) ** 2, r.zero)
    w[:, :first] = r.zero
    most = w.max(axis=1, keepdims=True)
    w = np.where(present, w, np.where(most > 0, most, r.one))
    w[:, :first] = r.zero
    wrong = (w * (r.sum(r.p, ~r.t) + r.sum(r.q, r.t))).sum(axis=1)[:, None]
    right = (w * 2 * r.sum(r.p, r.t)).sum(axis=1)[:, None] + r.field.lift(smooth)[()]
    whole = np.where(wrong + right == 0, r.one, wrong + right)
    g = np.where(r.t, (w * (-2 * wrong - right) / whole**2)[:, :, None], (w * right / whole**2)[:, :, None])
    weight = np.broadcast_to(r.counted.any(axis=1)[:, None] * 1.0, r.p.shape[:2])
    return np.broadcast_to(wrong / whole, r.p.shape[:2]), g, weight


def _with_entropy(
    r: Regions, o: dict[str, Any], cw: np.ndarray, weight: np.ndarray, dice: np.ndarray, grad: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a, b = (r.field.lift(o.get(k, 1.0))[()] for k in ("dice_weight", "ce_weight"))
    keep, t = r.field.lift(r.keep * 1.0), r.field.lift(r.t * 1.0)
    wrong = np.where(r.t, -r.q, r.p) * keep
    if o["activation"] == "sigmoid":
        count = keep.sum(axis=2)
        share = np.where(count == 0, r.zero, 1 / np.where(count == 0, r.one, count))
        entropy, each = np.where(r.keep, r.away, r.zero).sum(axis=2) * share, (weight * share)[:, :, None]
    else:
        of = (t * r.field.lift(cw)[:, None]).sum(axis=1, keepdims=True)  # each position's weight
        total = of.sum(axis=2, keepdims=True)
        share = np.where(total == 0, r.zero, 1 / np.where(total == 0, r.one, total))
        entropy = (np.where(r.t, r.away, r.zero) * of * share).sum(axis=(1, 2))[:, None]
        each = of * share * weight.sum(axis=1)[:, None, None]
    return a * grad + b * each * wrong, a * size + b * np.abs(each * wrong), a * dice + b * entropy


def _lovasz(r: Regions) -> tuple[np.ndarray, np.ndarray]:
    """Straight from the definition: errors in descending order, and the Jaccard loss of the sets of the largest ones."""
    values, g = np.full(r.p.shape[:2], r.zero), np.full(r.p.shape, r.zero)
    error = np.where(r.t, r.q, r.p)
    for n, c in np.ndindex(values.shape):
        places = np.flatnonzero(r.counted[n])
        order = places[np.argsort(-error[n, c, places], kind="stable")]
        mask = r.t[n, c]
        missed, spurious, total, before = 0, 0, int(mask[places].sum()), r.zero
        for at in order:
            missed, spurious = missed + mask[at], spurious + (not mask[at])
            now = r.one - r.field.lift(float(total - missed))[()] / r.field.lift(float(total + spurious))[()]
            values[n, c] += error[n, c, at] * (now - before)
            g[n, c, at] = -(now - before) if mask[at] else now - before
            before = now
    return values, g


REGIONS = ("dice", "jaccard", "tversky", "focal_tversky", "generalized_dice", "dice_cross_entropy", "lovasz")


def overlap_of(args: tuple[ArrayLike, ...], options: dict[str, Any], name: str, field: Field) -> Any:
    return overlap(name, args, {k: v for k, v in options.items() if k != "per_image"}, field)  # items are never pooled here


def region_truth(
    name: str, args: tuple[ArrayLike, ...], options: dict[str, Any], max_order: int, field: Field | None = None
) -> Truth:
    values, weight, grad, _ = once(overlap_of, args, options, name, field or (LONG if EXTENDED else MP))
    return Truth(Exact.of(values), weight, ((Exact.of(grad),),) if max_order else ())


def region_scale(name: str, args: tuple[ArrayLike, ...], options: dict[str, Any]) -> np.ndarray:
    return once(overlap_of, args, options, name, LONG if EXTENDED else MP)[3].astype(np.float64)
