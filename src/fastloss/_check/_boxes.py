"""Pairs of boxes."""

from __future__ import annotations

from typing import Any, NoReturn

from ._arrays import Array, array
from ._refusals import refuse


def boxes(box: Any, target: Any) -> tuple[Array, Array]:
    """Two arrays of boxes, four numbers along the last axis each, of one shape."""
    a, t = array("boxes", box), array("target", target)
    if a.ndim == 0 or a.shape[-1] != 4:
        refuse(ValueError, "boxes", "four numbers along the last axis", f"shape {a.shape}")
    if t.shape != a.shape:
        refuse(ValueError, "target", f"the shape of boxes, {a.shape}", f"shape {t.shape}")
    return a, t


def refuse_box(name: str, boxes: Array, at: tuple[int, ...], form: str, eps: float) -> NoReturn:
    """Refuse a box with corners the wrong way round, or without an area."""
    box = [float(v) for v in boxes[at]]
    corners, least = form == "xyxy", ">=" if eps else ">"
    sides = f"x2 {least} x1 and y2 {least} y1" if corners else f"width and height {least} 0"
    width, height = (box[2] - box[0], box[3] - box[1]) if corners else box[2:]
    hint = ""
    if not (width < 0 or height < 0):
        hint = "eps=1e-7 takes boxes without an area"
    elif corners:
        hint = "a corner and a size are format='xywh'"
    refuse(ValueError, name, sides if eps else f"{sides} (where eps is 0)", box, at, hint)
