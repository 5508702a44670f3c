"""What runs here: versions, CPU level, compiler, OpenMP, threads."""

from __future__ import annotations

import platform
from typing import Any, Literal, overload

import numpy as np

import fastloss._kernels as _kernels
from fastloss._threads import get_num_threads

__version__ = "0.1.0"


@overload
def show_config(mode: Literal["stdout"] = "stdout") -> None: ...
@overload
def show_config(mode: Literal["dicts"]) -> dict[str, Any]: ...
def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Show how fastloss was built and what it uses on this machine.

    Parameters
    ----------
    mode : {"stdout", "dicts"}
        Print, or return a dict.

    Returns
    -------
    dict or None
        version, isa (the CPU level in use; the environment variable FASTLOSS_ISA overrides it), isa_available, compiler, openmp,
        threads, numpy, python, cpu.

    Raises
    ------
    ValueError
        An unknown mode.

    Examples
    --------
    >>> import fastloss as fl
    >>> fl.show_config(mode="dicts")["isa"] in fl.show_config(mode="dicts")["isa_available"]
    True
    """
    if mode not in ("stdout", "dicts"):
        raise ValueError(f"show_config: mode: expected 'stdout' or 'dicts', got {mode!r}")
    config = {
        "version": __version__,
        "isa": _kernels.get_isa(),
        "isa_available": _kernels.available_isa(),
        "compiler": _kernels.COMPILER,
        "openmp": bool(_kernels.OPENMP),
        "threads": get_num_threads(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": _kernels.cpu_name(),
    }
    if mode == "dicts":
        return config
    for key, value in config.items():
        if isinstance(value, list):
            value = ", ".join(value)
        elif key == "openmp":
            value = "yes" if value else "no (this build computes serially)"
        print(f"{key:14}{value}")
    return None
