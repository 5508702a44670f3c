"""Rewrites the measured parts of README.md and docs/ from bench/results: `python -m bench.readme`.

A part stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; nobody types numbers there. The picture is drawn anew.
"""

import json
from pathlib import Path

from . import accuracy, pages, saved

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/speed.md", "docs/accuracy.md")
RESULTS, PICTURE = ROOT / saved.LATEST, (ROOT / saved.LATEST).with_suffix(".svg")


def tables() -> dict[str, str]:
    """The parts whose results have been saved."""
    found = {}
    errors = ROOT / accuracy.OUTPUT
    if RESULTS.exists():
        found |= pages.tables(saved.load(RESULTS))
    if errors.exists():
        rows = json.loads(errors.read_text())
        found["accuracy"] = accuracy.markdown(rows)
        found["accuracy-front"] = accuracy.front_markdown(rows)
    if (ROOT / accuracy.WORST).exists():
        found["worst"] = accuracy.worst_markdown(json.loads((ROOT / accuracy.WORST).read_text()))
    return found


def render(page: str, tables: dict[str, str]) -> str:
    """The page with what stands between its markers replaced."""
    for name, table in tables.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        before, found, rest = page.partition(begin)
        if found:
            after = rest.partition(end)[2]
            page = f"{before}{begin}\n\n{table}\n\n{end}{after}"
    return page


def main() -> None:
    for page in (ROOT / name for name in PAGES):
        page.write_text(render(page.read_text(), tables()))
        print(f"up to date: {page.relative_to(ROOT)}")
    if RESULTS.exists():
        from . import picture

        picture.draw(saved.load(RESULTS), PICTURE)
        print(f"up to date: {PICTURE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
