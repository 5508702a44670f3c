"""Times rows in one process with a fixed number of threads; one line of JSON per row on stdout.

    python -m bench.worker --threads 1 --rounds 9 --turn 0.03 "mse 16.8M elements" ...

The threads are fixed before anything that starts some is imported, which is why imports are
delayed.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .limits import ReadProbes
    from .peers import Contender, Peer
    from .rows import Mode, Problem, Row

_VARIABLES = ("FASTLOSS", "OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")


def fix_threads(threads: int) -> None:
    """Pin the process to as many processors as threads: even pools that ignore variables obey."""
    os.environ.update({f"{name}_NUM_THREADS": str(threads) for name in _VARIABLES})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.05)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("rows", nargs="*", help="titles; nothing prints all titles instead")
    options = parser.parse_args()
    fix_threads(options.threads)
    warnings.simplefilter("ignore")

    from . import rows
    from .limits import ReadProbes
    from .peers import PEERS

    everything = rows.all_rows()
    if not options.rows:
        print(json.dumps([[row.title, list(row.targets), row.tiny] for row in everything]))
        return
    skipped = {"PyTorch compiled"} if options.quick else set()
    peers = {name: make(options.threads) for name, make in PEERS.items() if name not in skipped}
    probes = ReadProbes(options.threads)
    for row in everything:
        if row.title in options.rows:
            for mode in row.targets:
                result = _time_row(row, mode, peers, probes, options)
                result["absent"].update(dict.fromkeys(skipped, "left out of a quick run"))
                print(json.dumps(result), flush=True)


def _time_row(
    row: "Row",
    mode: "Mode",
    peers: "dict[str, Peer]",
    probes: "ReadProbes",
    options: argparse.Namespace,
) -> dict[str, Any]:
    from .limits import PROBE
    from .timing import interleave

    problem = row.problem(mode, options.quick and not row.tiny)
    only = ("fastloss", "NumPy") if row.tiny else tuple(peers)
    contenders, absent = _prepare(problem, {name: peers[name] for name in only})
    calls: dict[str, Callable[[], Any]] = {name: c.call for name, c in contenders.items()}
    if not row.tiny:
        calls |= probes.contenders()
    times = interleave(calls, options.rounds, options.turn)
    target = row.targets[mode].to_json()
    # how it scales is asked where all threads run, and nothing else is asked there
    asked = {name: x for name, x in target.items() if (name == "scaling") == (options.threads > 1)}
    reads = [time.median for name, time in times.items() if name.startswith(PROBE)]
    return {
        "title": row.title,
        "mode": mode,
        "threads": options.threads,
        "target": asked,
        "times": {n: t.to_json() for n, t in times.items() if not n.startswith(PROBE)},
        "absent": absent,
        "limit": None if row.tiny else problem.moved / (probes.nbytes / min(reads)),
    }


def _prepare(problem: "Problem", peers: "dict[str, Peer]") -> "tuple[dict[str, Contender], dict[str, str]]":
    """Warm up and check every contender; one that is missing, fails or is wrong is only named."""
    from .peers import AbsentError

    expected = _expected(problem)
    contenders: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    for name, peer in peers.items():
        try:
            for contender in peer.contenders(problem):
                wrong = _difference(contender.read(contender.call()), expected, problem)
                if wrong:
                    absent[contender.column] = wrong
                    continue
                key = contender.column
                while key in contenders:  # another way of the same column
                    key += "'"
                contenders[key] = contender
        except AbsentError as reason:
            absent[name] = str(reason)
        except Exception as error:  # a peer's own failure must not end the run
            absent[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[:1]}"
            print(f"{problem.task}: {name}: {absent[name]}", file=sys.stderr)
    return contenders, absent


def _expected(problem: "Problem") -> tuple[Any, Any]:
    """The value and gradient (or gradient and Hessian) in float64: from the reference definition, and from plain NumPy."""
    import numpy as np

    import fastloss as fl

    from .expressions import GRADIENTS, HESSIANS, VALUES
    from .rows import FORWARD, HESSIAN

    arrays = [x.astype(np.float64) if x.dtype.kind not in "iub" else x for x in problem.arrays]
    if problem.mode == HESSIAN:
        return HESSIANS[problem.task](*arrays, **problem.options)
    if problem.task not in fl.LOSSES:
        return VALUES[problem.task](*arrays, **problem.options), None
    from fastloss._reference import reduce

    value = reduce(*fl.LOSSES[problem.task].reference(*arrays, **problem.options))
    if problem.mode == FORWARD:
        return value, None
    return value, GRADIENTS[problem.task](*arrays, **problem.options)[1]


def _difference(result: tuple[Any, Any], expected: tuple[Any, Any], problem: "Problem") -> str:
    """What is wrong with a contender's numbers, or nothing."""
    import numpy as np

    from .rows import HESSIAN

    kinks = problem.task == "batch_triplet"  # where rounding decides if a triplet next to its margin has a slope
    tolerance = 3e-2 if problem.arrays[0].dtype.itemsize == 2 else 1e-2 if kinks else 1e-3
    if problem.mode == HESSIAN:
        pairs = list(zip(("gradient", "Hessian"), result, expected, strict=True))
    else:
        pairs = [("value", result[0], expected[0])]
        several = isinstance(expected[1], tuple)
        if several and isinstance(result[1], tuple):
            pairs += [("gradient", got, true) for got, true in zip(result[1], expected[1], strict=True)]
        else:
            pairs += [("gradient", None if several else result[1], expected[1])]
    for what, got, true in pairs:
        if (got is None) != (true is None):
            return f"not timed: {what} is missing"
        if true is None:
            continue
        error = np.abs(got - true).max() / max(np.abs(true).max(), 1e-300)  # a Hessian may be 0
        if not error < tolerance:
            return f"not timed: {what} is wrong by {error:.1e}"
    return ""


if __name__ == "__main__":
    main()
