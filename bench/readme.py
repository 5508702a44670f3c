"""Rewrites the measured tables in README.md and docs/ from bench/results: `python -m bench.readme`.

A table stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->`; nobody types numbers there.
"""

import json
from pathlib import Path

from . import accuracy, report

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "docs/accuracy.md")


def tables() -> dict[str, str]:
    """The tables whose results have been saved."""
    found = {}
    results, errors = ROOT / "bench/results/latest.json", ROOT / accuracy.OUTPUT
    if results.exists():
        found["bench"] = report.markdown(json.loads(results.read_text()))
    if errors.exists():
        found["accuracy"] = accuracy.markdown(json.loads(errors.read_text()))
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


if __name__ == "__main__":
    main()
