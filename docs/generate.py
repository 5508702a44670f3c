"""Writes what the documentation says about each loss from the registry: `make docs`.

The table in `nonfinite.md` is what the losses do when asked; the README's lists them. A test compares both with the files, so
that neither can fall behind.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastloss as fl

DOCS = Path(__file__).resolve().parent


# -- nonfinite.md ----------------------------------------------------------------------------------


def nonfinite_table() -> str:
    """What every loss does with nan, infinities, nothing, and nothing but ignored samples."""
    header = ("loss", "input", "value of that sample", "gradient there")
    lines = [header, ("---",) * len(header)]
    for loss in fl.LOSSES.values():
        for number, (case, value, gradient) in enumerate(_cases(loss)):
            lines.append((f"`{loss.name}`" if number == 0 else "", case, value, gradient))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cases(loss: Any) -> Iterator[tuple[str, str, str]]:
    arrays, options = loss.sample(np.random.default_rng(0), dtype="float64", size=9 if loss.batchwise else 3)
    for case, variants in _inputs(loss, arrays).items():
        outcomes = {note: _outcome(loss, arrays, changed, options, place) for note, changed, place in variants}
        if len(set(outcomes.values())) == 1:
            yield case, *next(iter(outcomes.values()))
        else:
            yield from ((f"{case}, {note}", *outcome) for note, outcome in outcomes.items())
    empty = [a if name in loss.shared else a[:0] for name, a in zip(loss.arrays, arrays, strict=True)]
    mean, total = (_shown(loss(*empty, **options, reduction=how)) for how in ("mean", "sum"))
    yield "no samples", f"mean {mean}, sum {total}", "empty"
    if loss.options.get("ignore_index") is not None:
        ignored = [*arrays[:1], np.full_like(arrays[1], loss.options["ignore_index"]), *arrays[2:]]
        value, gradient = loss.value_and_grad(*ignored, **options)
        yield "every sample ignored", f"mean {_shown(value)}", _shown(gradient)


def _inputs(loss: Any, arrays: tuple[Any, ...]) -> dict[str, list[tuple[str, list[Any], Any]]]:
    """Case -> variants of it: (what distinguishes it, arrays with the case in sample 0, where to look)."""
    x, at = arrays[0], loss.arrays.index("target") if "target" in loss.arrays else 1
    target = arrays[at]

    def with_target(new: Any, first: Any = x) -> list[Any]:
        return [first, *arrays[1:at], new, *arrays[at + 1 :]]

    cases: dict[str, list[tuple[str, list[Any], Any]]] = {}
    places: dict[str, Any]
    for special, name in ((np.nan, "nan"), (np.inf, "+inf"), (-np.inf, "-inf")):
        if loss.pointwise:
            cases[f"{name} in {loss.arrays[0]}"] = [
                (f"{loss.arrays[at]} {t:g}", with_target(_with(target, 0, t), _with(x, 0, special)), 0)
                for t in _targets(loss, target, with_target)
            ]
            for k, name_k in enumerate(loss.arrays[1:], start=1):
                if name_k not in loss.shared and arrays[k].dtype.kind == "f":
                    cases[f"{name} in {name_k}"] = [("", [*arrays[:k], _with(arrays[k], 0, special), *arrays[k + 1 :]], 0)]
        else:
            if places := _places_of_many(loss, x, target):
                for where, place in places.items():
                    cases[f"{name} {where}"] = [("", [_with(x, place, special), *arrays[1:]], place)]
                continue
            if (
                target.dtype.kind not in "iu" or loss.family == "embedding"
            ):  # no class indices: the first entry of each array in turn
                for k, name_k in enumerate(loss.arrays):
                    if arrays[k].dtype.kind != "f":
                        continue
                    changed = [*arrays[:k], _with(arrays[k], (0, 0), special), *arrays[k + 1 :]]
                    cases[f"{name} in {name_k}"] = [("", changed, (0, 0))]
                continue
            label = int(target[0])
            columns = x.shape[-1]
            places = {"at the label": (0, label), "at another class": (0, (label + 1) % columns)}
            if _accepts(loss, [x, np.full_like(target, columns)]):  # a column is a threshold between levels
                target, places = (
                    _with(target, 0, 1),
                    {"at a threshold below the level": (0, 0), "at one above it": (0, columns - 1)},
                )
            places |= {"at every class": 0} if special < 0 else {}
            for where, place in places.items():
                cases[f"{name} {where}"] = [("", with_target(target, _with(x, place, special)), place)]
    return cases


def _places_of_many(loss: Any, x: Any, target: Any) -> dict[str, Any]:
    """Where to look in a sample that has many labels: a sequence, or a map of them; nowhere if it has one."""
    if loss.family == "sequence":
        label, last = int(target[0, 0]), x.shape[-1] - 1  # the last class is nobody's label
        at_frame = {"a label": (0, 3, label), "a class that is no label": (0, 3, last), "every class": (0, 3)}
        places: dict[str, Any] = {f"at {what} in one frame": place for what, place in at_frame.items()}
        return places | {"at a label in every frame": (0, slice(None), label)}
    if loss.regions:
        label = int(target[0, 0, 0])
        return {
            "at a position's label": (0, label, 0, 0),
            "at another of its classes": (0, (label + 1) % x.shape[1], 0, 0),
            "at all of its classes": (0, slice(None), 0, 0),
        }
    return {}


def _accepts(loss: Any, arrays: list[Any]) -> bool:
    try:
        loss(*arrays)
    except (ValueError, IndexError):
        return False
    return True


def _targets(loss: Any, target: Any, arrays_with: Callable[[Any], list[Any]]) -> list[float]:
    """0 and 1 are targets of almost every pointwise loss, and the ones that readers think of; of levels the highest too."""
    highest = [float(target.max())] if target.dtype.kind in "iu" else []
    accepted = [t for t in dict.fromkeys([0.0, 1.0, *highest]) if _accepts(loss, arrays_with(_with(target, 0, t)))]
    return accepted or [float(target[0])]


def _with(array: Any, place: Any, value: float) -> Any:
    changed = np.array(array)
    changed[place] = value
    return changed


def _outcome(loss: Any, arrays: Any, changed: list[Any], options: dict[str, Any], place: Any) -> tuple[str, str]:
    try:
        values = loss(*changed, **options, reduction="none")
        gradient = loss.grad(*changed, **options, reduction="none")
    except ValueError:
        return "ValueError", "ValueError"
    if loss.batchwise:
        slopes = gradient if isinstance(gradient, tuple) else (gradient,)
        return f"of all samples: {_shown(values)}", "; ".join(f"of all: {_shown(g)}" for g in slopes)
    undisturbed = loss(*arrays, **options, reduction="none")
    np.testing.assert_array_equal(values[1:], undisturbed[1:])  # that sample only
    gradients = gradient if isinstance(gradient, tuple) else (gradient,)
    own = [g for name, g in zip(loss.wrt, gradients, strict=True) if name not in loss.shared]
    return _shown(values[0]), "; ".join(_shown(g[place]) for g in own)


def _shown(values: Any) -> str:
    """nan, an infinity, zero or finite: all of these, if they differ."""
    kinds = []
    for value in np.ravel(values):
        if np.isnan(value):
            kinds.append("nan")
        elif np.isinf(value):
            kinds.append("inf" if value > 0 else "-inf")
        else:
            kinds.append("0" if value == 0 else "finite")
    return ", ".join(dict.fromkeys(kinds))


# -- The table of the README -------------------------------------------------------------------------


def families_table() -> str:
    """Every loss by its family."""
    families: dict[str, list[str]] = {}
    for loss in fl.LOSSES.values():
        families.setdefault(loss.family, []).append(f"`{loss.name}`")
    lines = ["| family | losses |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {family} | {', '.join(names)} |" for family, names in sorted(families.items()))])


def _between(path: Path, name: str, text: str) -> str:
    """The page with what stands between its markers replaced."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = path.read_text().partition(begin)
    return f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"


def pages() -> dict[Path, str]:
    """What each generated file should hold."""
    nonfinite, readme = DOCS / "nonfinite.md", DOCS.parent / "README.md"
    return {
        nonfinite: _between(nonfinite, "nonfinite", nonfinite_table()),
        readme: _between(readme, "losses", families_table()),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text)
        print(f"written: {path.relative_to(DOCS.parent)}")
