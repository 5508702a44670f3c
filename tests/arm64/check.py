"""The loops of every baseline table on arm64, run under qemu-user, against the same loops on this machine.

    python tests/arm64/check.py        # make arm64

All C files are compiled twice with setup.py's own flags, warnings as errors: by the C compiler of this machine and by the cross
compiler. tables.c runs both builds on the same input. Imports the standard library only.

Two differences are to be expected: arm64 rounds a * b + c once where x86-64's baseline rounds twice, and the C libraries' exp and
log may differ in the last place. Either moves an intermediate result by an ULP or two of the largest term of its sum. A number
passes if it differs by at most RELATIVE ULPs of itself, or SCALED ULPs of the largest number of its line, which stands for the
terms that cancelled in it. Lines called "exactly" must be equal.
"""

from __future__ import annotations

import ast
import math
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "src" / "fastloss" / "csrc"
PACKAGES = {"aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}
RELATIVE, SCALED = 16.0, 4.0


def settings() -> dict[str, list[str]]:
    """LOOP_FLAGS, WARNINGS and LOOPS of setup.py, which runs a build when it is imported."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("LOOP_FLAGS", "WARNINGS", "LOOPS"):
                value = ast.literal_eval(node.value)
                found[name] = list(value.values()) if isinstance(value, dict) else value
    return found


def build(compiler: list[str], folder: Path, pool: ThreadPoolExecutor) -> Path:
    """The program, from every C file of csrc/."""
    chosen = settings()
    flags = [*chosen["LOOP_FLAGS"], *chosen["WARNINGS"], "-fPIC", "-fvisibility=hidden", "-DFL_LEVEL=baseline", f"-I{CSRC}"]
    sources = [CSRC / name for name in chosen["LOOPS"]]  # those that take longest come first
    sources += [*sorted(set(CSRC.glob("*/*.c")) - set(sources)), Path(__file__).with_name("tables.c")]
    folder.mkdir()

    def compile_one(source: Path) -> str:
        out = folder / f"{source.stem}.o"
        subprocess.run([*compiler, *flags, "-c", str(source), "-o", str(out)], check=True)
        return str(out)

    objects = list(pool.map(compile_one, sources))
    program = folder / "tables"
    subprocess.run([*compiler, *objects, "-static", "-o", str(program), "-lm"], check=True)
    return program


def numbers(command: list[str]) -> list[tuple[str, int, list[float]]]:
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    parts = (line.split(" ") for line in lines)
    return [(name, int(bits), [float.fromhex(x) for x in values]) for name, bits, *values in parts]


def worst(bits: int, here: list[float], there: list[float], exact: bool) -> float:
    """The largest difference of a line, as a fraction of what is allowed."""
    ulp = 2.0**-23 if bits == 32 else 2.0**-52
    largest = max((abs(x) for x in here if math.isfinite(x)), default=0.0)
    most = 0.0
    for x, y in zip(here, there, strict=True):
        if x == y or (math.isnan(x) and math.isnan(y)):
            continue
        if exact or not (math.isfinite(x) and math.isfinite(y)):
            return math.inf
        allowed = ulp * max(RELATIVE * abs(x), SCALED * largest)
        most = max(most, abs(x - y) / allowed if allowed else math.inf)
    return most


def compare(here: list[tuple[str, int, list[float]]], there: list[tuple[str, int, list[float]]]) -> int:
    """How many lines differ by more than is allowed."""
    if [(name, bits, len(x)) for name, bits, x in here] != [(name, bits, len(x)) for name, bits, x in there]:
        sys.exit("arm64: the two programs did not print the same lines")
    share: dict[str, float] = {}
    wrong = 0
    for (name, bits, x), (_, _, y) in zip(here, there, strict=True):
        off = worst(bits, x, y, "exactly" in name)
        family = name.split(":")[0]
        share[family] = max(share.get(family, 0.0), off)
        if off > 1:
            wrong += 1
            if wrong <= 20:
                print(f"{name} float{bits}: {off:.3g} times what is allowed")
    print(f"arm64: {len(here)} lines; the worst of each family, as a share of what is allowed:")
    print("  " + ", ".join(f"{family} {off:.2f}" for family, off in share.items()))
    return wrong


def main() -> int:
    missing = [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if missing:
        sys.exit(f"arm64: this needs a cross compiler and an emulator: apt-get install {' '.join(missing)}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        arm = build(["aarch64-linux-gnu-gcc"], Path(folder) / "arm64", pool)
        native = build([os.environ.get("CC", "gcc")], Path(folder) / "native", pool)
        wrong = compare(numbers([str(native)]), numbers(["qemu-aarch64", str(arm)]))
    print(f"arm64: {wrong} lines differ too much" if wrong else "arm64: all lines agree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
