"""The machine's limit: how fast memory can be read, probed in turn with the row it is beside.

Several kernels read arrays that no cache holds; the fastest of them is the limit. Imports NumPy
and, where installed, PyTorch.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

PROBE = "probe: "
_ELEMENTS = 2**25  # float32, twice: 256 MiB


class ReadProbes:
    """Callables that each read `nbytes`, with the threads the process may use."""

    nbytes = 2 * 4 * _ELEMENTS

    def __init__(self, threads: int) -> None:
        self._x = np.ones(_ELEMENTS, np.float32)
        self._y = np.ones(_ELEMENTS, np.float32)
        self._slices = [slice(start * _ELEMENTS // threads, (start + 1) * _ELEMENTS // threads) for start in range(threads)]
        self._pool = ThreadPoolExecutor(threads)

    def _maxima(self) -> None:
        """NumPy's maximum on each thread's slice; the interpreter lock is released inside."""
        jobs = [self._pool.submit(np.max, array[part]) for part in self._slices for array in (self._x, self._y)]
        for job in jobs:
            job.result()

    def contenders(self) -> dict[str, Callable[[], Any]]:
        probes: dict[str, Callable[[], Any]] = {
            PROBE + "dot": lambda: np.dot(self._x, self._y),
            PROBE + "max": self._maxima,
        }
        try:
            import torch
        except ImportError:
            return probes
        x, y = torch.from_numpy(self._x), torch.from_numpy(self._y)
        return probes | {
            PROBE + "torch.dot": lambda: torch.dot(x, y),
            PROBE + "torch.sum": lambda: (x.sum(), y.sum()),
        }
