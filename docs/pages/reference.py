"""The reference: a page for each loss and each family, from the registry and its docstrings; and the cheat sheet."""

import inspect
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import fastloss as fl

ORDERS = ("value", "value, gradient", "value, gradient, Hessian")
FAMILIES = {
    "regression": "Predict numbers",
    "classification": "Predict classes",
    "divergence": "Compare distributions",
    "ordinal": "Predict levels that are ordered",
    "energy": "Score configurations",
    "sequence": "Read sequences",
    "segmentation": "Predict regions and boxes",
    "embedding": "Learn distances",
}
SHEET = {  # the cheat sheet's groups: names and when to take each
    "Regression": {
        "mse": "the mean; errors that are roughly normal",
        "mae": "the median; gross errors",
        "quantile": "a quantile: costs that differ by side",
        "poisson_nll": "counts",
        "gamma": "positive amounts",
        "gaussian_nll": "the uncertainty too",
    },
    "Classification": {
        "cross_entropy": "one of several classes",
        "binary_cross_entropy_with_logits": "yes or no; several labels at once",
        "hinge": "a margin, no probabilities",
        "sigmoid_focal": "a flood of easy negatives",
        "coral": "ordered levels",
    },
    "Advanced": {
        "kl_div_with_logits": "a teacher's distribution",
        "gaussian_kl": "variational autoencoders",
        "triplet": "embeddings from triplets",
        "nt_xent": "embeddings from two views",
        "ctc": "labels without positions",
        "dice": "regions, rare classes",
        "box_iou": "boxes",
    },
    "Robust": {
        "huber": "mostly clean errors, some gross",
        "log_cosh": "the same, smooth",
        "generalized_cross_entropy": "wrong labels",
    },
}


def pages() -> dict[str, str]:
    """The text of every page, by its file name."""
    by_family = {
        name: list(losses) for name, losses in groupby(sorted(fl.LOSSES.values(), key=_place), key=lambda loss: loss.family)
    }
    made = {f"{loss.name}.md": loss_page(loss) for loss in fl.LOSSES.values()}
    for family, losses in by_family.items():
        made[f"family_{family}.md"] = family_page(family, losses)
    made["functions.md"] = functions_page()
    made["index.md"] = index_page(list(by_family))
    made["cheatsheet.txt"] = cheat_sheet()
    return made


def write(folder: Path) -> None:
    """Write the pages that have changed, and remove those that are none any more."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for stale in {path.name for path in folder.glob("*.md")} - made.keys():
        (folder / stale).unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _place(loss: Any) -> tuple[int, str]:
    return list(FAMILIES).index(loss.family), loss.name


def loss_page(loss: Any) -> str:
    bounds = ", ".join(f"{bound} ULP in {dtype}" for dtype, bound in loss.ulp.items())
    facts = f"Derivatives: {ORDERS[loss.max_order]}, with respect to {', '.join(f'`{a}`' for a in loss.wrt)}. "
    facts += f"Promised accuracy of one value: {bounds}. Family: [{loss.family}](family_{loss.family}.md)."
    curve = f":::{{image}} curves/{loss.name}.svg\n:alt: value and gradient of {loss.name}\n:class: only-light-background\n:::"
    return "\n\n".join([f"# {loss.name}", fence(signature(loss)), curve, markdown(loss.__doc__), facts]) + "\n"


def family_page(family: str, losses: list[Any]) -> str:
    header = ("loss", "formula", "range", "derivatives")
    rows = [
        (f"[{loss.name}]({loss.name}.md)", f"`{loss.formula}`".replace("|", "\\|"), loss.range, ORDERS[loss.max_order])
        for loss in losses
    ]
    toc = "\n".join(loss.name for loss in losses)
    return f"# {family.capitalize()}\n\n{FAMILIES[family]}.\n\n{table(header, rows)}\n\n:::{{toctree}}\n:hidden:\n\n{toc}\n:::\n"


def functions_page() -> str:
    """What is public and no loss."""
    names = [name for name in fl.__all__ if name not in fl.LOSSES and callable(getattr(fl, name)) and not name.startswith("_")]
    parts = [
        "# Functions",
        "What is not a loss: functions of logits, alignments, distances, evaluation, the laboratory, threads.",
    ]
    for name in names:
        thing = getattr(fl, name)
        if inspect.isfunction(thing):
            parts += [f"## {name}", fence(signature(thing, name)), markdown(thing.__doc__ or "")]
    return "\n\n".join(parts) + "\n"


def index_page(families: list[str]) -> str:
    toc = "\n".join([*(f"family_{family}" for family in families), "functions"])
    rows = [(f"[{family}](family_{family}.md)", f"{FAMILIES[family]}.") for family in families]
    return (
        f"# Reference\n\nEvery loss, by family.\n\n{table(('family', 'for'), rows)}\n\n:::{{toctree}}\n:hidden:\n\n{toc}\n:::\n"
    )


def cheat_sheet() -> str:
    parts = []
    for group, losses in SHEET.items():
        rows = [
            (
                f"![](reference/curves/{name}_small.svg)",
                f"[{name}](reference/{name}.md)",
                f"`{fl.LOSSES[name].formula}`".replace("|", "\\|"),
                fl.LOSSES[name].range,
                when,
            )
            for name, when in losses.items()
        ]
        parts.append(f"### {group}\n\n{table(('', 'loss', 'formula', 'range', 'for'), rows)}")
    return "\n\n".join(parts) + "\n"


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- Docstrings as Markdown -------------------------------------------------------------------------


def signature(function: Any, name: str | None = None) -> str:
    """The call, without annotations: they say less than the docstring, in more words."""
    found = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    return f"fl.{name or function.name}{found.replace(parameters=bare, return_annotation=found.empty)}"


def markdown(docstring: str) -> str:
    """A numpydoc docstring as Markdown: sections become bold, entries lists, examples code."""
    text = inspect.cleandoc(docstring)
    text = re.sub(r"^([A-Z][A-Za-z ]+)\n-{3,}$", r"**\1**", text, flags=re.MULTILINE)
    return "\n\n".join(map(_block, re.split(r"\n{2,}", text)))


def _block(block: str) -> str:
    heading, _, rest = block.partition("\n")
    if heading.startswith("**") and rest:
        return f"{heading}\n\n{_block(rest)}"
    if block.startswith(".. math::"):
        return f"$$ {' '.join(block.removeprefix('.. math::').split())} $$"
    if block.startswith(">>>"):
        return fence(block)
    block = re.sub(r":math:`(.+?)`", r"$\1$", block, flags=re.DOTALL)
    block = re.sub(r"``(.+?)``", r"`\1`", block, flags=re.DOTALL)
    if re.search(r"^\S.*\n    \S", block, flags=re.MULTILINE):
        return "\n".join(_entries(block))
    return block


def _entries(block: str) -> Iterator[str]:
    """`name : type` lines with indented descriptions, as list items."""
    for line in block.splitlines():
        if line.startswith("    "):
            yield f"  {line.strip()}"
        else:
            name, colon, kind = line.partition(" : ")
            yield f"- `{name}`: {kind}." if colon else f"- `{line}`:"


def fence(code: str) -> str:
    return f"```python\n{code}\n```"
