"""The command line: evaluate files, look up losses. Options are read off the registry of losses.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 1 bad data; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import inspect
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

try:
    import click
    from click.core import ParameterSource
except ModuleNotFoundError:
    raise SystemExit("fastloss: the command line needs click: pip install 'fastloss[cli]'") from None

import numpy as np

import fastloss
from fastloss import LOSSES, Loss
from fastloss.evaluation import evaluate
from fastloss.evaluation._metrics import DERIVED, needs
from fastloss.evaluation._result import table
from fastloss.evaluation._run import parse_size
from fastloss.evaluation._sources import load

BAD_DATA = (ValueError, TypeError, IndexError, OSError, MemoryError, ImportError)
FILE = click.Path(dir_okay=True)  # what is wrong with a file is bad data, not bad usage


class Program(click.Group):
    """Turns what goes wrong into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except BAD_DATA as error:
            text = " ".join(str(error).split()) or type(error).__name__
            click.echo(f"fastloss: {text}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fastloss.__version__, prog_name="fastloss")
def main() -> None:
    """Losses of deep learning, computed on the CPU."""


# -- fastloss evaluate -----------------------------------------------------------------------------


class Size(click.ParamType[int]):
    """A number of bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse "256MB"."""
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error).rpartition(": ")[2], param, ctx)


class Value(click.ParamType[Any]):
    """An option of a loss, read in the type of its default."""

    def __init__(self, default: Any) -> None:
        self.default = default
        kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "text"}
        self.name = kinds.get(type(default), "number|number,...|file.npy")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse; "none" is None for whatever is not text."""
        if not isinstance(value, str) or isinstance(self.default, str):
            return value
        if value.lower() == "none":
            return None
        try:
            return self._parse(value)
        except ValueError:
            self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)

    def _parse(self, text: str) -> Any:
        if isinstance(self.default, bool):
            if text.lower() not in ("true", "false"):
                raise ValueError
            return text.lower() == "true"
        if isinstance(self.default, int):
            return int(text)
        if text.endswith((".npy", ".npz")) or ".npz:" in text:
            return text  # loaded when the command runs: a missing file is bad data
        if "," in text:
            return np.array([float(part) for part in text.split(",")])
        return float(text)


def _union(of: Callable[[Loss[Any]], Mapping[str, Any]]) -> dict[str, tuple[Any, list[str]]]:
    """name -> (the first loss's value for it, the losses that have it)."""
    union: dict[str, tuple[Any, list[str]]] = {}
    for loss in LOSSES.values():
        for name, value in of(loss).items():
            union.setdefault(name, (value, []))[1].append(loss.name)
    return union


ARRAYS = _union(lambda loss: dict.fromkeys(loss.per_sample))
REAL = _union(lambda loss: dict.fromkeys(name for name in loss.wrt if name not in loss.shared))  # which can be raw bfloat16
OPTIONS = _union(lambda loss: {**dict.fromkeys(loss.shared), **loss.options})


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _registry_options(command: click.Command) -> click.Command:
    """Add the arrays and options of all losses to a command."""
    options = []
    for name, (_, losses) in ARRAYS.items():
        text = f"A .npy file, .npz or .npz:KEY. [{_some(losses)}]"
        options.append(click.Option([_flag(name), name], type=FILE, metavar="FILE", help=text))
    for name in (f"{array}_dtype" for array in REAL):
        text = "What the raw bytes of that file are, such as bfloat16."
        options.append(click.Option([_flag(name), name], metavar="TYPE", help=text))
    for name, (default, losses) in OPTIONS.items():
        text, kind = f"Default {default}. [{_some(losses)}]", Value(default)
        options.append(click.Option([_flag(name), name], type=kind, metavar=kind.name.upper(), help=text))
    command.params[1:1] = options  # behind LOSS...
    return command


def _some(losses: list[str]) -> str:
    return ", ".join(losses[:3]) + (f" and {len(losses) - 3} more" if len(losses) > 3 else "")


@_registry_options
@main.command("evaluate")
@click.argument("losses", metavar="LOSS...", nargs=-1, required=True)
@click.option("--sample-weight", type=FILE, metavar="FILE", help="The weight of every sample.")
@click.option("--group", type=FILE, metavar="FILE", help="Report a mean for each group too.")
@click.option("--per-sample", type=FILE, metavar="OUT.npy", help="Write the loss of every sample.")
@click.option("--worst", type=click.IntRange(0), default=0, help="Report the K hardest samples.")
@click.option("--max-memory", type=Size(), default="256MB", show_default=True)
@click.option("--threads", type=click.IntRange(1, 4096), help="Default: all that are allowed.")
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table")
@click.option("--checkpoint", type=FILE, metavar="FILE", help="Continue from here if interrupted.")
@click.option("--progress/--no-progress", default=None, help="Default: if stderr is a terminal.")
@click.pass_context
def evaluate_command(ctx: click.Context, /, losses: tuple[str, ...], style: str, **arguments: Any) -> None:
    """Evaluate LOSS... over arrays in files, in one pass and bounded memory.

    \b
    fastloss evaluate cross_entropy perplexity --logits logits.npy --target labels.npy
    """
    given = {name: value for name, value in arguments.items() if _is_given(ctx, name)}
    _check_usage(ctx, losses, given)
    for name in OPTIONS.keys() & given.keys():
        if isinstance(given[name], str) and not isinstance(OPTIONS[name][0], str):
            given[name] = load(name, given[name])
    try:
        with _sigterm_stops():
            result = evaluate(losses, **given)
    except (ValueError, TypeError) as error:
        about = re.match(r"\w+: (\w+): ", str(error))
        if about is not None and about[1] in OPTIONS:
            raise click.UsageError(str(error), ctx) from None
        raise
    click.echo(result.to_json() if style == "json" else str(result))


def _check_usage(ctx: click.Context, losses: tuple[str, ...], given: Mapping[str, Any]) -> None:
    """What can be said of a command without reading a file is a matter of usage."""
    try:
        arrays, options = needs(losses)
    except ValueError as error:
        raise click.UsageError(str(error).partition("losses: ")[2], ctx) from None
    for name in arrays:
        if name not in given:
            raise click.UsageError(f"{', '.join(losses)}: expected {_flag(name)} FILE, got none", ctx)
    known = {*arrays, *(f"{name}_dtype" for name in arrays), *options}
    for name in given:
        if name in {*ARRAYS, *OPTIONS, *(f"{real}_dtype" for real in REAL)} and name not in known:
            raise click.UsageError(f"{_flag(name)} belongs to none of {', '.join(losses)}", ctx)


def _is_given(ctx: click.Context, name: str) -> bool:
    """Whether an option was on the command line: `--ignore-index none` is, though it is None."""
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


@contextmanager
def _sigterm_stops() -> Iterator[None]:
    """End as after Ctrl-C, with a checkpoint: a scheduler that preempts a job sends SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield  # where Python handles no signals
        return
    before = signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


# -- fastloss list, show, info ---------------------------------------------------------------------


@main.command("list")
def list_command() -> None:
    """List the losses."""
    orders = ("value", "value, gradient", "value, gradient, Hessian")
    rows = [(loss.name, loss.family, ", ".join(loss.wrt), orders[loss.max_order]) for loss in LOSSES.values()]
    rows += [(name, "metric", "", orders[0]) for name in DERIVED]
    click.echo(table(("loss", "family", "with respect to", "derivatives"), rows, right=False))


@main.command("show")
@click.argument("loss")
@click.pass_context
def show_command(ctx: click.Context, loss: str) -> None:
    """Show one loss: signature, formula, options, range, reference."""
    try:
        needs([loss])
    except ValueError as error:
        raise click.UsageError(str(error).partition("losses: ")[2], ctx) from None
    click.echo(describe(loss))


def describe(name: str) -> str:
    """A page about one loss."""
    if name in DERIVED:
        base, function = DERIVED[name]
        return f"{_signature(name)}\n\n  {function}(mean {base})\n\nSee: fastloss show {base}"
    loss = LOSSES[name]
    options = [f"{option} = {default!r}" for option, default in loss.options.items()]
    facts = {
        "formula": loss.formula,
        "options": ", ".join(options) or "none of its own",
        "range": loss.range,
        "derivatives": f"order {loss.max_order}, with respect to {', '.join(loss.wrt)}",
        "reference": loss.citation,
    }
    lines = [textwrap.fill(text, 100, initial_indent=f"{fact:<13}", subsequent_indent=" " * 13) for fact, text in facts.items()]
    first = (loss.__doc__ or "").strip().partition("\n")[0]
    return "\n".join([_signature(name), "", f"  {first}", "", *lines])


def _signature(name: str) -> str:
    signature = inspect.signature(getattr(fastloss, name))
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{name}{inspect.Signature(bare)}"


@main.command("info")
def info_command() -> None:
    """Show how fastloss was built and what it uses on this machine."""
    fastloss.show_config()


if __name__ == "__main__":
    main()
