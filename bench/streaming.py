"""Evaluation from a file against the kernel in memory: `python -m bench.streaming write|time`.

`write` makes a logits file of the size asked for; `time` prints one line of JSON: seconds per
pass over it.
"""

import argparse
import json
from pathlib import Path

CLASSES = 1000
_CHUNK = 2**14  # rows written at once


def write(directory: Path, nbytes: int) -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    rows = max(1, nbytes // (4 * CLASSES))
    chunk = 3 * rng.standard_normal((_CHUNK, CLASSES), dtype=np.float32)
    logits = np.lib.format.open_memmap(directory / "logits.npy", mode="w+", dtype=np.float32, shape=(rows, CLASSES))
    for start in range(0, rows, _CHUNK):
        part = logits[start : start + _CHUNK]
        part[:] = chunk[: len(part)]
    logits.flush()
    np.save(directory / "target.npy", rng.integers(CLASSES, size=rows))


def time(directory: Path, rounds: int, turn: float) -> None:
    import numpy as np

    import fastloss as fl

    from .timing import interleave

    paths = [directory / f"{name}.npy" for name in ("logits", "target")]
    logits, target = map(np.load, paths)
    times = interleave(
        {
            "fastloss": lambda: fl.evaluate("cross_entropy", logits=paths[0], target=paths[1], max_memory="256MB"),
            "in memory": lambda: fl.cross_entropy(logits, target),
        },
        rounds,
        turn,
    )
    print(json.dumps({name: time.to_json() for name, time in times.items()}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["write", "time"])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--bytes", type=int, default=2**29)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.03)
    options = parser.parse_args()
    if options.what == "write":
        write(options.directory, options.bytes)
    else:
        time(options.directory, options.rounds, options.turn)


if __name__ == "__main__":
    main()
