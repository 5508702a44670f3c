"""Times rows in one process with a fixed number of threads; one line of JSON per row on stdout.

    echo '[["mse 16.8M elements", "forward", {}]]' | python -m bench.worker --threads 1

Each row on stdin is [title, mode, {contender to leave out: why}].

The threads are fixed before anything that starts some is imported, which is why imports are
delayed.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .limits import ReadProbes
    from .peers import Contender, Peer
    from .rows import Problem, Row

_VARIABLES = ("FASTLOSS", "OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR")


def fix_threads(threads: int) -> None:
    """Pin the process to as many processors as threads: even pools that ignore variables obey."""
    os.environ.update({f"{name}_NUM_THREADS": str(threads) for name in _VARIABLES})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn", type=float, default=0.05)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--eager", action="store_true", help="leave PyTorch's compiler out, which takes seconds a row")
    parser.add_argument("--list", action="store_true", help="print what there is to time, and time nothing")
    options = parser.parse_args()
    fix_threads(options.threads)
    warnings.simplefilter("ignore")

    from . import rows
    from .limits import ReadProbes
    from .peers import PEERS

    everything = {row.title: row for row in rows.all_rows()}
    if options.list:
        listed = [[row.title, list(row.targets), row.tiny] for row in everything.values()]
        print(json.dumps({"rows": listed, "packages": {name: peer.packages for name, peer in PEERS.items()}}))
        return
    wanted = [name for name in PEERS if not (options.eager and name == "PyTorch compiled")]
    peers = {name: PEERS[name](options.threads) for name in wanted}
    probes = ReadProbes(options.threads)
    arrays: dict[str, Any] = {}
    for title, mode, left_out in json.load(sys.stdin):
        row = everything[title]
        problem = row.problem(mode, options.quick and not row.tiny, arrays.get(title))
        arrays = {title: problem.arrays}
        print(json.dumps(_time_row(row, problem, peers, probes, left_out, options)), flush=True)


def _time_row(
    row: "Row",
    problem: "Problem",
    peers: "dict[str, Peer]",
    probes: "ReadProbes",
    left_out: dict[str, str],
    options: argparse.Namespace,
) -> dict[str, Any]:
    from .limits import PROBE
    from .peers import LACKING
    from .timing import interleave

    only = ("fastloss", "NumPy") if row.tiny else tuple(peers)
    # what all threads compute is compared with our own, which one thread's pass has compared with the definition
    expected = None if options.threads == 1 else _own(problem)
    contenders, absent, known = _prepare(problem, {name: peers[name] for name in only}, left_out, expected)
    calls: dict[str, Callable[[], Any]] = {name: c.call for name, c in contenders.items()}
    if not row.tiny:
        calls |= probes.contenders()
    times = interleave(calls, options.rounds, options.turn, known)
    target = row.targets[problem.mode].to_json()
    # how it scales is asked where all threads run, and nothing else is asked there
    asked = {name: x for name, x in target.items() if (name == "scaling") == (options.threads > 1)}
    reads = [time.median for name, time in times.items() if name.startswith(PROBE)]
    limit = None if row.tiny else float(f"{problem.moved / (probes.nbytes / min(reads)):.4g}")
    return {
        "title": row.title,
        "mode": problem.mode,
        "threads": options.threads,
        "family": row.family,
        "times": {n: t.to_json() for n, t in times.items() if not n.startswith(PROBE)},
        "limit": limit,
        "target": asked,
        "absent": {name: reason for name, reason in absent.items() if reason != LACKING},
    }


def _prepare(
    problem: "Problem", peers: "dict[str, Peer]", left_out: dict[str, str] | None = None, expected: Any = None
) -> "tuple[dict[str, Contender], dict[str, str], dict[str, float]]":
    """Warm up and check every contender; one that is missing, fails or is wrong is only named, as one that is left out.

    Also the seconds of calls so long that another one would not tell more about how many fit a turn.
    """
    from .peers import AbsentError
    from .timing import SHORT

    expected = expected or _expected(problem)
    contenders: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    known: dict[str, float] = {}
    for name, peer in peers.items():
        try:
            keys: list[str] = []
            for contender in peer.contenders(problem):
                keys.append(contender.column + "'" * keys.count(contender.column))  # another way of the same column
                if reason := (left_out or {}).get(keys[-1]):
                    absent[keys[-1]] = reason
                    continue
                start = time.perf_counter()
                result = contender.call()
                seconds = time.perf_counter() - start
                wrong = _other_type(result, problem) or _difference(contender.read(result), expected, problem)
                if wrong:
                    absent[contender.column] = wrong
                    continue
                contenders[keys[-1]] = contender
                if seconds > SHORT and not contender.compiles:
                    known[keys[-1]] = seconds
        except AbsentError as reason:
            absent[name] = str(reason)
        except Exception as error:  # a peer's own failure must not end the run
            absent[name] = f"failed: {type(error).__name__}: {str(error).splitlines()[:1]}"
            print(f"{problem.task}: {name}: {absent[name]}", file=sys.stderr)
    return contenders, absent, known


def _other_type(result: Any, problem: "Problem") -> str:
    """Which other type than its input's an array of a contender's result has, or nothing."""
    parts = result if isinstance(result, tuple | list) else [result]
    for part in parts:
        if isinstance(part, tuple | list):
            if wrong := _other_type(part, problem):
                return wrong
        elif getattr(part, "ndim", 0) > 0:
            name = str(part.dtype).removeprefix("torch.")
            if name != problem.arrays[0].dtype.name:
                return f"not timed: returns {name} for {problem.arrays[0].dtype.name}"
    return ""


def _expected(problem: "Problem") -> tuple[Any, Any]:
    """In float64: the value from the reference definition; value and gradient, or gradient and Hessian, from plain NumPy."""
    import numpy as np

    import fastloss as fl

    from .peers.numpy_formulas import GRADIENTS, HESSIANS, VALUES
    from .rows import FORWARD, HESSIAN

    if problem.task == "batch_triplet" and len(problem.arrays[0]) > 2048:
        return _own(problem)  # the definition would take minutes; NumPy's loop over anchors is a contender
    arrays = [x.astype(np.float64) if x.dtype.kind not in "iub" else x for x in problem.arrays]
    if problem.mode == HESSIAN:
        return HESSIANS[problem.task](*arrays, **problem.options)
    if problem.task not in fl.LOSSES:
        return VALUES[problem.task](*arrays, **problem.options), None
    if problem.mode != FORWARD:
        value, gradient = GRADIENTS[problem.task](*arrays, **problem.options)
        return value, gradient
    from fastloss._definitions.reference import reduce

    return reduce(*fl.LOSSES[problem.task].reference(*arrays, **problem.options)), None


def _own(problem: "Problem") -> tuple[Any, Any]:
    """The value and gradient (or gradient and Hessian) that we compute from the same arrays in float64."""
    from .peers import FastLoss
    from .rows import Problem

    wide = tuple(x.astype("float64") if x.dtype.kind not in "iub" else x for x in problem.arrays)
    contender = next(iter(FastLoss(1).contenders(Problem(problem.task, problem.mode, wide, problem.options, 0))))
    return contender.read(contender.call())


def _difference(result: tuple[Any, Any], expected: tuple[Any, Any], problem: "Problem") -> str:
    """What is wrong with a contender's numbers, or nothing."""
    import numpy as np

    from .rows import HESSIAN

    # rounding decides if a triplet next to its margin has a gradient; Lovasz's gradients are differences of nearly equal numbers
    coarse = problem.task in ("batch_triplet", "lovasz")
    tolerance = 3e-2 if problem.arrays[0].dtype.itemsize == 2 else 1e-2 if coarse else 1e-3
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
