"""How a refusal is tested: its words, and calls that get a wrong argument."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

import fastloss as fl

nan, inf = np.nan, np.inf


@contextmanager
def refused(kind: type[Exception] | tuple[type[Exception], ...], name: str, argument: str, *parts: str) -> Iterator[None]:
    """The block raises `kind`, saying `name: argument: expected ..., got ...`, with each part somewhere."""
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert re.match(rf"{name}: {argument}: expected .+, got .+", text), text
    for part in parts:
        assert re.search(part, text), (part, text)


@contextmanager
def about(value: Any) -> Iterator[None]:
    """What fails in the block says of which value."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {value!r}")
        raise


def sample(loss: fl.Loss, size: int = 6) -> tuple[list[Any], dict[str, Any]]:
    args, options = loss.sample(np.random.default_rng(0), size=size)
    return list(args), options


def methods(loss: fl.Loss) -> list[Callable[..., Any]]:
    found: list[Callable[..., Any]] = [loss, loss.terms]
    found += [loss.grad, loss.value_and_grad] if loss.max_order >= 1 else []
    found += [loss.hess, loss.grad_and_hess] if loss.max_order >= 2 else []
    return found
