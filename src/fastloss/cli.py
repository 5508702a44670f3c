"""The command line: evaluate files, audit and look up losses. Options are read off the registry of losses.

Results go to stdout, progress and errors to stderr. Exit codes: 0; 1 bad data; 2 usage; 130 Ctrl-C.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

try:
    import click
    from click.core import ParameterSource
except ModuleNotFoundError:
    raise SystemExit("fastloss: the command line needs click: pip install 'fastloss[cli]'") from None

import numpy as np

from fastloss._config import __version__, show_config
from fastloss._loss import LOSSES, Loss
from fastloss.evaluation import evaluate
from fastloss.evaluation._metrics import DERIVED, needs, resolve
from fastloss.evaluation._reader import load
from fastloss.evaluation._result import table
from fastloss.evaluation._run import parse_size

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
            text = re.sub(r"\bsay (\w+)='(\w+)'", lambda said: f"say {_flag(said[1])} {said[2]}", text)
            click.echo(f"fastloss: {text}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            ctx.exit(130)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fastloss")
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
    """An option of losses, read as their signatures say: `annotations` are those of the losses that have it."""

    def __init__(self, annotations: Iterable[Any]) -> None:
        parts = dict.fromkeys(part for annotation in annotations for part in _alternatives(annotation))
        self.choices = tuple(choice for part in parts if get_origin(part) is Literal for choice in get_args(part))
        self.arrays = Any in parts
        self.optional = self.arrays or NoneType in parts
        self.types = [kind for kind in (bool, float, int, str) if kind in parts and not (kind is int and float in parts)]
        self.mixed = {int, float} <= parts.keys()  # an integer to one loss, any number to another
        words = [*map(str, self.choices), *(_WORDS[kind] for kind in self.types)]
        words += ["NUMBER,...", "FILE"] if float in self.types and self.arrays else ["NUMBER", "NUMBER,...", "FILE"] * self.arrays
        self.name = "|".join(words + ["none"] * (self.optional and not self.arrays))

    @classmethod
    def of(cls, name: str, losses: Iterable[Loss[Any]]) -> Value:
        """The option of this name."""
        return cls(_annotation(name, loss) for loss in losses)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse; "none" is None for whatever is not text."""
        if not isinstance(value, str) or value in self.choices:
            return value
        if value.lower() == "none" and self.types != [str]:
            return None
        for kind in self.types:
            with suppress(ValueError, KeyError):
                return _SWITCH[value.lower()] if kind is bool else self._number(value) if kind is float else kind(value)
        with suppress(ValueError):
            if self.arrays:
                return self._array(value)
        return self.fail(f"{value!r} is not a valid {self.name}.", param, ctx)

    def _number(self, text: str) -> float:
        return int(text) if self.mixed and text.strip("+-").isdecimal() else float(text)

    def _array(self, text: str) -> Any:
        if is_file(text):
            return text  # loaded when the command runs: a missing file is bad data
        if "," in text:
            return np.array([float(part) for part in text.split(",")])
        return float(text)


_WORDS = {bool: "true|false", float: "NUMBER", int: "INTEGER", str: "TEXT"}
_SWITCH = {"true": True, "false": False}


def _alternatives(annotation: Any) -> Sequence[Any]:
    """What a union is of."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _annotation(name: str, loss: Loss[Any]) -> Any:
    """What a signature says of an option; if it is silent (a function's own), what the default says."""
    default = loss.options.get(name)
    kind = type(default) if type(default) in _WORDS else Any
    return loss.annotations.get(name, kind)


def is_file(text: str) -> bool:
    """Whether the value of an option is a file to load."""
    return text.endswith((".npy", ".npz")) or ".npz:" in text


Losses = Mapping[str, list[Loss[Any]]]  # a name, and the losses that have an array or option of it
EVALUATED = tuple(loss for loss in LOSSES.values() if not loss.batchwise)  # those of which `evaluate` makes options


def _union(of: Callable[[Loss[Any]], Iterable[str]], losses: Iterable[Loss[Any]] = EVALUATED) -> Losses:
    union: dict[str, list[Loss[Any]]] = {}
    for loss in losses:
        for name in of(loss):
            union.setdefault(name, []).append(loss)
    return union


def _arrays(loss: Loss[Any]) -> Iterable[str]:
    return (*loss.per_sample, *loss.beside)


def _own(loss: Loss[Any]) -> Iterable[str]:
    return [name for name in (*loss.shared, *loss.options) if name not in loss.beside]


ARRAYS = _union(_arrays)
OPTIONS = _union(_own)


def _flag(name: str, losses: Sequence[Loss[Any]] = ()) -> str:
    """`--ignore-index`; `--box-iou-format` where `evaluate` has an option of that name itself."""
    own = {option for parameter in evaluate_command.params for option in parameter.opts}
    flag = "--" + name.replace("_", "-")
    return f"--{losses[0].name.replace('_', '-')}{flag[1:]}" if losses and flag in own else flag


def _click_options(arrays: Losses, own: Losses, *, chosen: Container[str]) -> list[click.Option]:
    """Click's options for the arrays and options of losses. A name that is both is what `chosen`, the arrays of the losses on the
    line, says.
    """
    options, files = [], dict.fromkeys(name for name in arrays if name not in own or name in chosen)
    for name in files:
        text = f"A .npy file, .npz or .npz:KEY. [{_some(arrays[name])}]"
        options.append(click.Option([_flag(name), name], type=FILE, metavar="FILE", help=text))
    for name, losses in own.items():
        if name in files:
            continue
        default, kind = losses[0].options.get(name), Value.of(name, losses)
        text = f"Default {str(default).lower() if default is None or default is True or default is False else default}."
        text += f" [{_some(losses)}]" + (f" A FILE for {_some(arrays[name])}." if name in arrays else "")
        options.append(click.Option([_flag(name, losses), name], type=kind, metavar=kind.name, help=text))
        files |= {name: None} if kind.arrays else {}
    for name in (*files, "sample_weight"):
        text = f"What the raw bytes of that file ({_flag(name)}) are, such as bfloat16."
        options.append(click.Option([_flag(f"{name}_dtype"), f"{name}_dtype"], metavar="TYPE", help=text))
    return options


def _some(losses: Sequence[Loss[Any]]) -> str:
    names = [loss.name for loss in losses]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# -- module:function: losses that are not in the registry ------------------------------------------


def imported(name: str) -> Any:
    """What "module:function" names, with the working directory's modules first."""
    module_name, _, path = name.partition(":")
    if not sys.path or sys.path[0] not in ("", os.getcwd()):
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise click.UsageError(f"{name}: cannot import {module_name}: {said}") from None
    try:
        return attrgetter(path)(module)
    except AttributeError:
        raise click.UsageError(f"{name}: module {module_name} has no {path!r}") from None


def custom_loss(name: str) -> Loss[Any]:
    """The loss that "module:function" names; a plain function is made one."""
    found = imported(name)
    if isinstance(found, Loss):
        return found
    if not callable(found):
        raise click.UsageError(f"{name}: expected a loss or a function, got {type(found).__name__}")
    try:
        from fastloss.lab import custom

        made: Loss[Any] = custom(found)
    except (TypeError, ValueError) as error:
        raise click.UsageError(f"{name}: {error}") from None
    return made


def _is_custom(name: str) -> bool:
    return ":" in name


class EvaluateCommand(click.Command):
    """A command whose options are those of the registry's losses, and of the custom ones on the line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Find the custom losses before the options, which are theirs too."""
        named = list(self._positional(args))
        custom = {name: custom_loss(name) for name in named if _is_custom(name)}
        taken = {parameter.name for parameter in self.params}
        for name, loss in custom.items():
            if clash := taken & {*_arrays(loss), *_own(loss)}:
                raise click.UsageError(f"{name}: {min(map(str, clash))}: this name belongs to an option of evaluate itself", ctx)
        if whole := [name for name in named if name in LOSSES and LOSSES[name].batchwise]:
            _check_usage(ctx, (), whole, {})  # says why they have no options here
        ctx.meta["custom"] = custom
        known = {**LOSSES, **custom}
        ctx.meta["arrays"] = {array for name in named if name in known for array in _arrays(known[name])}
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, with those of the losses behind LOSS..."""
        own = super().get_params(ctx)
        custom = ctx.meta.get("custom", {})
        unions = [_union(of, [*EVALUATED, *custom.values()]) for of in (_arrays, _own)]
        return [own[0], *_click_options(*unions, chosen=ctx.meta.get("arrays", ())), *own[1:]]

    def _positional(self, args: list[str]) -> Iterator[str]:
        """The arguments that are no options; every option takes one value, but for the switches."""
        switches = {"--help", "-h", "--progress", "--no-progress"}
        words = iter(args)
        for word in words:
            if word == "--":
                yield from words
            elif not word.startswith("-"):
                yield word
            elif "=" not in word and word not in switches:
                next(words, None)


@main.command("evaluate", cls=EvaluateCommand)
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

    MODULE:FUNCTION is a loss of your own, made by fastloss.custom, or a function with one value per element:

    \b
    fastloss evaluate my_losses:asymmetric --prediction p.npy --target t.npy
    """
    custom: Mapping[str, Loss[Any]] = ctx.meta["custom"]
    chosen = [custom.get(name, name) for name in losses]
    options = _union(_own, [*EVALUATED, *custom.values()])
    given = {name: value for name, value in arguments.items() if _is_given(ctx, name)}
    _check_usage(ctx, losses, chosen, given)
    own = needs(chosen).options
    for name in own & given.keys():
        dtype = given.pop(f"{name}_dtype", None)
        if isinstance(given[name], str) and Value.of(name, options[name]).arrays and is_file(given[name]):
            given[name] = load(name, given[name], dtype)
    try:
        with _sigterm_stops():
            result = evaluate(chosen, **given)
    except (ValueError, TypeError) as error:
        about = re.match(r"\w+: (\w+): ", str(error))
        if about is not None and about[1] in own:
            raise click.UsageError(str(error), ctx) from None
        raise
    click.echo(result.to_json() if style == "json" else str(result))


def _check_usage(ctx: click.Context, names: tuple[str, ...], chosen: Sequence[str | Loss[Any]], given: Mapping[str, Any]) -> None:
    """What can be said of a command without reading a file is a matter of usage."""
    try:
        arrays, beside, options = needs(chosen)
    except ValueError as error:
        raise click.UsageError(str(error).partition("losses: ")[2], ctx) from None
    for name in arrays:
        if name not in given:
            raise click.UsageError(f"{', '.join(names)}: expected {_flag(name)} FILE, got none", ctx)
    known = {*arrays, *beside, *options}
    known |= {f"{name}_dtype" for name in (*known, "sample_weight") if name in given}
    of_losses = {p.name for p in ctx.command.get_params(ctx)} - {p.name for p in ctx.command.params}
    for name in given:
        if name in of_losses and name not in known:
            raise click.UsageError(f"{_flag(name)} belongs to none of {', '.join(names)}", ctx)


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


# -- fastloss audit --------------------------------------------------------------------------------


def _setting(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE, where a value is a number, true, false, none, a list, a word, or a .npy file."""
    settings: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.replace("-", "_").isidentifier():
            raise click.BadParameter(f"expected NAME=VALUE, got {text!r}", ctx, param)
        words = {"true": True, "false": False, "none": None}
        parsed: Any = words.get(value.lower(), value)
        with suppress(ValueError, SyntaxError):
            parsed = ast.literal_eval(value)
        name = name.replace("-", "_")
        settings[name] = np.asarray(load(name, value, None)) if is_file(value) else parsed
    return settings


@main.command("audit")
@click.argument("losses", metavar="LOSS...", nargs=-1, required=True)
@click.option(
    "--set", "params", multiple=True, callback=_setting, metavar="NAME=VALUE", help="An option, or a .npy file for an array."
)
@click.option(
    "--claim", "claims", multiple=True, callback=_setting, metavar="NAME=VALUE", help="A promised answer, as convex=true."
)
@click.option("--metric", metavar="MODULE:FUNCTION", help="Does the loss rank predictions as it does?")
@click.option("--elements/--rows", "pointwise", default=None, help="Of functions: what has a value. Default: what works.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--format", "style", type=click.Choice(["markdown", "json"]), default="markdown")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="Draw value, gradient and Hessian (.svg, .png, .pdf).")
@click.option("--progress/--no-progress", default=None, help="Default: if stderr is a terminal.")
@click.pass_context
def audit_command(
    ctx: click.Context, /, losses: tuple[str, ...], metric: str | None, style: str, output: str | None, **arguments: Any
) -> None:
    """Try the requirements of a good loss on LOSS... (or MODULE:FUNCTION). Exit code 1 if one fails.

    \b
    fastloss audit huber --set delta=2
    fastloss audit my_losses:asymmetric --claim convex=true
    """
    if unknown := [name for name in losses if name not in LOSSES and not _is_custom(name)]:
        raise click.UsageError(f"{unknown[0]}: no loss of this name: see fastloss list", ctx)
    if output is not None and len(losses) > 1:
        raise click.UsageError("--output: draws one LOSS", ctx)
    from fastloss.lab import audit

    params = arguments.pop("params")
    measure = None if metric is None else imported(metric)
    reports = {}
    for name in losses:
        loss = imported(name) if _is_custom(name) else name
        reports[name] = audit(loss, metric=measure, **arguments, **params)
    if output is not None:
        next(iter(reports.values())).plot()[0].figure.savefig(output)
    if style == "json":
        click.echo(json.dumps({name: report.to_dict() for name, report in reports.items()}, indent=1))
    else:
        click.echo("\n\n".join(map(str, reports.values())))
    ctx.exit(0 if all(reports.values()) else 1)


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
    """Show one loss (or MODULE:FUNCTION): signature, formula, options, range, reference."""
    if _is_custom(loss):
        click.echo(describe(custom_loss(loss)))
        return
    try:
        resolve(loss)
    except ValueError as error:
        raise click.UsageError(str(error).partition("losses: ")[2], ctx) from None
    click.echo(describe(loss))


def describe(loss: str | Loss[Any]) -> str:
    """A page about one loss."""
    if isinstance(loss, str):
        if loss in DERIVED:
            base, function, public = DERIVED[loss]
            return f"{_signature(loss, public)}\n\n  {function}(mean {base})\n\nSee: fastloss show {base}"
        loss = LOSSES[loss]
    options = [f"{option} = {default!r}" for option, default in loss.options.items()]
    differences = " and ".join(getattr(loss, "numeric", ()))
    facts = {
        "formula": loss.formula,
        "options": ", ".join(options) or "none of its own",
        "range": loss.range,
        "derivatives": f"order {loss.max_order}, with respect to {', '.join(loss.wrt)}"
        + (f" ({differences} by central differences)" if differences else ""),
        "reference": loss.citation,
    }
    lines = [
        textwrap.fill(text, 100, initial_indent=f"{fact:<13}", subsequent_indent=" " * 13) for fact, text in facts.items() if text
    ]
    first = (loss.__doc__ or "").strip().partition("\n")[0]
    return "\n".join([_signature(loss.name, loss), "", f"  {first}", "", *lines])


def _signature(name: str, function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return f"{name}{inspect.Signature(bare)}"


@main.command("plot", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("losses", metavar="LOSS...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("-o", "--output", type=FILE, required=True, metavar="FILE", help="The picture: .svg, .png or .pdf.")
@click.option("--kind", default="curve", show_default=True, help="curve, surface, regions, levels or alignment.")
@click.option("--what", help="Panels, separated by commas: value, gradient, hessian.")
@click.pass_context
def plot_command(ctx: click.Context, losses: tuple[str, ...], output: str, kind: str, what: str | None) -> None:
    """Draw losses: value, gradient and Hessian.

    Options of the losses are given by name; several values, separated by commas, are swept: --gamma 0,1,2,5
    """
    from fastloss.lab import plot

    names, options = _split_plot_options(losses)
    chosen = [custom_loss(name) if ":" in name else name for name in names]
    panels = None if what is None else tuple(part.strip() for part in what.split(","))
    try:
        axes = plot(chosen, kind=kind, what=panels, **options)
        first = axes if not hasattr(axes, "__len__") else axes[0]
        first.figure.savefig(output)
    except (ValueError, TypeError, ImportError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"saved: {output}")


def _split_plot_options(words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Losses, and options as `--name value` or `--name=value`, numbers where they can be."""
    names: list[str] = []
    options: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            names.append(word)
            continue
        name, equals, given = word[2:].partition("=")
        value = given if equals else next(rest, None)
        if value is None:
            raise click.UsageError(f"{word}: expected a value")
        parts = [_number_or_text(part.strip()) for part in value.split(",")]
        options[name.replace("-", "_")] = parts if len(parts) > 1 else parts[0]
    if not names:
        raise click.UsageError("expected at least one loss")
    return names, options


def _number_or_text(text: str) -> Any:
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


@main.command("info")
def info_command() -> None:
    """Show how fastloss was built and what it uses on this machine."""
    show_config()


if __name__ == "__main__":
    main()
