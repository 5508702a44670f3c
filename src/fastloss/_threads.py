"""The one door to the number of threads. A default is worked out once, at import, from the environment, the CPU affinity and
the cgroup quota; set_num_threads changes it for the process, num_threads for a block of code.

A forked child computes serially: the OpenMP runtime's worker threads do not survive fork, and waiting for them hangs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fastloss._kernels import OPENMP

CGROUP = "/sys/fs/cgroup"


def _from_environment() -> int | None:
    """FASTLOSS_NUM_THREADS, else OMP_NUM_THREADS (whose first entry counts: it may be a list per nesting level)."""
    for name in ("FASTLOSS_NUM_THREADS", "OMP_NUM_THREADS"):
        first = os.environ.get(name, "").split(",")[0].strip()
        if first:
            if first.isdecimal() and int(first) > 0:
                return int(first)
            if name == "FASTLOSS_NUM_THREADS":
                raise ValueError(f"FASTLOSS_NUM_THREADS: expected a positive integer, got {first!r}")
    return None


def _read(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().split()
    except OSError:
        return []


def _cgroup_quota(root: str | os.PathLike[str] = CGROUP) -> float | None:
    """How many CPUs' time the cgroup may use, or None for no limit (version 2: cpu.max; version 1: cfs_quota_us)."""
    own = [line[4:] for line in _read("/proc/self/cgroup") if line.startswith("0::/")]
    limits = [_read(f"{root}/{part}/cpu.max") for part in ("", *own)]
    limits.append(_read(f"{root}/cpu/cpu.cfs_quota_us") + _read(f"{root}/cpu/cpu.cfs_period_us"))
    quotas = [int(x[0]) / int(x[1]) for x in limits if len(x) == 2 and x[0].isdecimal() and int(x[1]) > 0]
    return min(quotas, default=None)


def _allowed_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_num_threads() -> int:
    """What the environment asks for, or else the CPUs this process may use."""
    asked = _from_environment()
    if asked is not None:
        return asked
    quota = _cgroup_quota()
    cpus = _allowed_cpus()
    return max(1, min(cpus, int(quota + 0.999))) if quota is not None else cpus


_process = default_num_threads()
_block: ContextVar[int | None] = ContextVar("fastloss_num_threads", default=None)
_forked = False


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _positive(n: int) -> int:
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"num_threads: expected a positive integer, got {n!r}")
    n = n.__index__()
    if not 1 <= n <= 4096:
        raise ValueError(f"num_threads: expected an integer from 1 to 4096, got {n}")
    return n


def set_num_threads(n: int) -> None:
    """Set how many threads fastloss uses in this process from now on.

    Results do not depend on it: every loss has the same bits at any number of threads. Small inputs stay on the calling thread
    whatever the number.

    Parameters
    ----------
    n : int
        From 1 to 4096. May exceed the number of CPUs (which helps nobody but tests).

    Raises
    ------
    TypeError, ValueError
        If `n` is not a positive integer.

    Examples
    --------
    >>> import fastloss as fl
    >>> before = fl.get_num_threads()
    >>> fl.set_num_threads(1)
    >>> fl.get_num_threads()
    1
    >>> fl.set_num_threads(before)
    """
    global _process
    _process = _positive(n)


def get_num_threads() -> int:
    """Return how many threads the next call may use here: 1 in a forked child or in a build without OpenMP.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.get_num_threads() >= 1
    True
    """
    if _forked or not OPENMP:
        return 1
    return _block.get() or _process


@contextmanager
def num_threads(n: int) -> Iterator[None]:
    """Use `n` threads inside a ``with`` block, in this Python thread (or asyncio task) only.

    Parameters
    ----------
    n : int
        From 1 to 4096.

    Examples
    --------
    >>> import fastloss as fl
    >>> with fl.num_threads(1):
    ...     fl.get_num_threads()
    1
    """
    token = _block.set(_positive(n))
    try:
        yield
    finally:
        _block.reset(token)
