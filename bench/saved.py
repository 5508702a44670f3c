"""Results as a JSON file: what was measured where, and then one row a line, so that a difference shows which rows changed."""

import json
from pathlib import Path
from typing import Any

Results = dict[str, Any]  # when, machine, peers (column -> package -> version), quick, rounds, rows
LATEST = Path("bench/results/latest.json")


def load(path: Path) -> Results:
    found: Results = json.loads(path.read_text())
    return found


def save(results: Results, path: Path) -> None:
    """Write the file whole, or leave the old one."""
    head = {name: value for name, value in results.items() if name != "rows"}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    rows = ",\n".join(map(json.dumps, results["rows"]))
    text = "{\n" + ",\n".join([*lines, f'"rows": [\n{rows}\n]']) + "\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
