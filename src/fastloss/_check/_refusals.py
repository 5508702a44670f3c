"""An argument that breaks a rule, and how its error reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")


T = TypeVar("T")


class Refusal(Exception):
    """An argument that breaks a rule: becomes `kind` with the caller's name in front."""

    def __init__(
        self, kind: type[Exception], argument: str, text: str, at: tuple[int, ...] | None = None, hint: str = ""
    ) -> None:
        super().__init__(kind, argument, text)
        self.kind, self.argument, self.text, self.at, self.hint = kind, argument, text, at, hint

    def named(self, caller: str) -> Exception:
        where = "" if self.at is None else f" at index {self.at}"
        hint = f"; {self.hint}" if self.hint else ""
        return self.kind(f"{caller}: {self.argument}: {self.text}{where}{hint}")


def refuse(
    kind: type[Exception], argument: str, expected: str, got: object, at: tuple[int, ...] | None = None, hint: str = ""
) -> NoReturn:
    """`hint`: what was probably meant, or what to do about it."""
    raise Refusal(kind, argument, f"expected {expected}, got {got}", at, hint)


def named(function: Callable[P, T]) -> Callable[P, T]:
    """Errors of a plain function start with its name, as a loss's do."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Refusal as refusal:
            raise refusal.named(function.__name__) from None

    return call
