"""Promise: a loss in the registry is everywhere, whole and described; nothing else keeps a list of losses."""

from __future__ import annotations

import doctest
import inspect
import pickle
import subprocess
import sys
from collections.abc import Mapping

import cases
import numpy as np
import oracle
import pytest
from cases import LOSSES, OPTIONS, as_tuple, every_dtype, every_loss, every_rowwise

import fastloss as fl
import fastloss._definitions.reference as _reference

FOUNDATION = {
    "mse": "regression",
    "mae": "regression",
    "huber": "regression",
    "smooth_l1": "regression",
    "binary_cross_entropy": "classification",
    "binary_cross_entropy_with_logits": "classification",
    "nll": "classification",
    "cross_entropy": "classification",
}
FUNCTIONS = ("perplexity", "logsumexp", "softmax", "log_softmax")


def parameters(function: object) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())  # type: ignore[arg-type]


def test_registry_is_a_mapping_nobody_can_write_to() -> None:
    assert isinstance(fl.LOSSES, Mapping)
    with pytest.raises(TypeError):
        fl.LOSSES["mse"] = None  # type: ignore[index]
    with pytest.raises((TypeError, AttributeError)):
        fl.LOSSES.clear()  # type: ignore[attr-defined]
    assert len(fl.LOSSES) == len(LOSSES)


def test_the_first_losses_are_in_their_families() -> None:
    assert {name: fl.LOSSES[name].family for name in FOUNDATION} == FOUNDATION


def test_functions_are_not_losses() -> None:
    for name in FUNCTIONS:
        assert callable(getattr(fl, name))
        assert name not in fl.LOSSES


@every_loss
def test_loss_is_found_under_its_name(loss: fl.Loss) -> None:
    assert fl.LOSSES[loss.name] is loss
    assert getattr(fl, loss.name) is loss
    assert loss.name in fl.__all__
    assert loss.name in dir(fl)
    assert isinstance(loss, fl.Loss)
    assert loss.name in repr(loss)


@every_loss
def test_signature_is_arrays_then_options_then_weight_and_reduction(loss: fl.Loss) -> None:
    ps = parameters(loss)
    positional = [p.name for p in ps if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = {p.name: p.default for p in ps if p.kind is p.KEYWORD_ONLY}
    assert tuple(positional) == loss.arrays
    assert len(positional) + len(keywords) == len(ps)
    assert list(keywords)[-2:] == ["sample_weight", "reduction"]
    assert keywords["sample_weight"] is None
    assert keywords["reduction"] == "mean"
    own = {k: v for k, v in keywords.items() if k not in ("sample_weight", "reduction")}
    assert dict(loss.options) == own
    assert inspect.Parameter.empty not in own.values()
    assert "weight" not in keywords


@every_loss
def test_description_is_complete(loss: fl.Loss) -> None:
    assert loss.family
    assert loss.formula
    assert "\n" not in loss.formula
    assert loss.citation
    assert loss.range
    assert isinstance(loss.pointwise, bool)
    assert loss.wrt
    assert set(loss.wrt) <= set(loss.arrays)
    assert set(loss.shared) < set(loss.arrays)
    assert loss.arrays[0] not in loss.shared
    assert loss.max_order in (0, 1, 2)
    assert set(loss.ulp) == {"float32", "float64"}
    assert all(0 < bound <= 16 for bound in loss.ulp.values())


@every_loss
def test_docstring_is_numpydoc_and_names_every_parameter(loss: fl.Loss) -> None:
    doc = inspect.getdoc(loss)
    assert doc
    for section in ("Parameters", "Returns", "Raises", "References", "Examples"):
        assert f"{section}\n{'-' * len(section)}" in doc, section
    for p in parameters(loss):
        assert f"\n{p.name} : " in doc or f"\n{p.name}, " in doc or f", {p.name} : " in doc, p.name


@every_loss
def test_docstring_examples_are_true(loss: fl.Loss) -> None:
    tests = doctest.DocTestFinder(recurse=False).find(loss.__wrapped__, loss.name, globs={"fl": fl, "np": np})
    assert sum(len(t.examples) for t in tests) > 0
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE, verbose=False)
    for t in tests:
        assert runner.run(t).failed == 0


@every_loss
def test_loss_pickles_to_itself(loss: fl.Loss) -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(loss, protocol)) is loss


@every_loss
def test_reference_has_the_same_arrays_and_options(loss: fl.Loss) -> None:
    assert loss.reference is getattr(_reference, loss.name)
    ours = [(p.name, p.kind, p.default) for p in parameters(loss)]
    theirs = [(p.name, p.kind, p.default) for p in parameters(loss.reference)]
    assert theirs == ours[:-2]


@every_loss
def test_loss_is_in_the_oracle_and_its_options_in_the_table(loss: fl.Loss) -> None:
    many = {*oracle.ROWS, *oracle.SUMS, *oracle.SEQUENCES, *oracle.REGIONS, *oracle.VECTORS, *oracle.BATCHWISE, "box_iou"}
    table = oracle.SHARED if loss.shared else oracle.POINTWISE if loss.pointwise else many
    assert loss.name in table
    missing = {name for name in loss.options if cases.option_values(OPTIONS, loss, name) is None}
    assert not missing, f"tests/support/cases.py: OPTIONS has no values for {sorted(missing)}"


@every_dtype
@every_loss
def test_sampler_draws_inside_the_domain(loss: fl.Loss, dtype: str) -> None:
    for size in (1, 2, 64, 1003):
        args, options = loss.sample(np.random.default_rng(size), dtype=dtype, size=size)
        assert len(args) == len(loss.arrays)
        assert set(options) <= set(loss.options)
        for i in cases.wrt_positions(loss):
            assert args[i].dtype == dtype
        values = loss(*args, **options, reduction="none")
        assert len(values) == cases.value_count(loss, size)
        assert values.ndim == 1 or loss in cases.REGIONS
        assert np.isfinite(values).all()
        again, _ = loss.sample(np.random.default_rng(size), dtype=dtype, size=size)
        assert all(np.array_equal(a, b) for a, b in zip(args, again, strict=True))
        for domain in as_tuple(getattr(loss.__wrapped__(*args, **options), "domain", None) or ()):
            assert domain.contains(args[loss.arrays.index(domain.argument)]).all()


@every_loss
def test_sampler_is_not_trivial(loss: fl.Loss) -> None:
    """Different seeds differ, and the gradient is not all zero."""
    (a, options), (b, _) = (loss.sample(np.random.default_rng(seed), size=64) for seed in (0, 1))
    assert not np.array_equal(a[0], b[0])
    if loss.max_order:
        assert all(np.any(g) for g in as_tuple(loss.grad(*a, **options)))


@every_rowwise
def test_row_loss_has_an_axis(loss: fl.Loss) -> None:
    assert loss.options["axis"] == -1


def test_unknown_method_on_a_loss_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError):
        fl.mse.nothing  # noqa: B018


def test_import_is_lean() -> None:
    """Neither the reference, nor evaluation, nor any extra comes with `import fastloss`."""
    heavy = ("fastloss._definitions.reference", "fastloss.evaluation", "fastloss.cli", "mpmath", "scipy", "sklearn")
    heavy += ("torch", "jax", "click", "tqdm", "ml_dtypes", "matplotlib", "concurrent.futures")
    heavy += ("pathlib", "urllib.parse")
    code = "import numpy, sys; before = set(sys.modules); import fastloss; "
    code += f"print([m for m in {heavy!r} if m in sys.modules and m not in before])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
