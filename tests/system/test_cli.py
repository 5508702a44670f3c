"""The command line: results on stdout, one line of error on stderr, exit codes 0, 1, 2, 130."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from click.testing import CliRunner

import fastloss as fl
from fastloss.cli import ARRAYS, OPTIONS, Value, main

NAMES = list(fl.LOSSES)


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def command(*arguments):
    """The command line of a real process."""
    return [sys.executable, "-m", "fastloss", *map(str, arguments)]


def process(*arguments, **kwargs):
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=200, check=False, **kwargs)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((500, 5))).astype(np.float32)
    arrays = {
        "logits": logits,
        "target": rng.integers(0, 5, 500),
        "group": np.array(["cat", "dog"])[rng.integers(0, 2, 500)],
        "weight": rng.random(500),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path, arrays


def base(folder):
    return ["--logits", folder / "logits.npy", "--target", folder / "target.npy"]


# -- evaluate --------------------------------------------------------------------------------------


def test_json_is_what_python_returns(files):
    folder, arrays = files
    done = run(
        *("evaluate", "cross_entropy", "perplexity", *base(folder), "--format", "json"),
        *("--group", folder / "group.npy", "--sample-weight", folder / "weight.npy"),
        *("--worst", 3, "--label-smoothing", 0.1, "--max-memory", "20kB", "--threads", 1),
    )
    assert done.exit_code == 0
    assert done.stderr == ""
    expected = fl.evaluate(
        ["cross_entropy", "perplexity"],
        logits=arrays["logits"],
        target=arrays["target"],
        group=arrays["group"],
        sample_weight=arrays["weight"],
        label_smoothing=0.1,
        worst=3,
    )
    assert json.loads(done.stdout) == json.loads(expected.to_json())


def test_the_table_is_what_python_prints(files):
    folder, arrays = files
    done = run("evaluate", "cross_entropy", *base(folder), "--worst", 2)
    expected = fl.evaluate("cross_entropy", logits=arrays["logits"], target=arrays["target"], worst=2)
    assert done.stdout == f"{expected}\n"
    assert done.exit_code == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_loss_from_files(name, tmp_path):
    loss = fl.LOSSES[name]
    if loss.batchwise:
        done = run("evaluate", name, *(f"--{array}=x.npy" for array in loss.arrays))
        assert done.exit_code == 2
        assert f"fastloss.{name} with the whole batch" in done.stderr
        return
    arrays, options = loss.sample(np.random.default_rng(0), dtype="float64", size=50)
    arguments = []
    for array_name, array in zip(loss.arrays, arrays, strict=True):
        np.save(tmp_path / f"{array_name}.npy", array)
        arguments += [f"--{array_name.replace('_', '-')}", tmp_path / f"{array_name}.npy"]
    for option, value in options.items():
        np.save(tmp_path / f"{option}.npy", value)
        text = tmp_path / f"{option}.npy" if isinstance(value, np.ndarray) else value
        arguments += [f"--{option.replace('_', '-')}", text]
    done = run("evaluate", name, *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    mean = json.loads(done.stdout)["losses"][name]["mean"]
    assert mean == pytest.approx(loss(*arrays, **options), rel=1e-12)


def test_a_name_that_is_an_array_of_one_loss_and_an_option_of_another(tmp_path):
    """`p`: probabilities of js_divergence, the exponent of multiclass_hinge."""
    scores, target = np.array([[0.5, 2.0, 1.0]]), np.array([0])
    np.save(tmp_path / "scores.npy", scores)
    np.save(tmp_path / "target.npy", target)
    given = ("--scores", tmp_path / "scores.npy", "--target", tmp_path / "target.npy")
    done = run("evaluate", "multiclass_hinge", *given, "--p", 2, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["losses"]["multiclass_hinge"]["mean"] == fl.multiclass_hinge(scores, target, p=2) == 6.25
    done = run("evaluate", "multiclass_hinge", "js_divergence", *given, "--p", tmp_path / "p.npy", "--q", tmp_path / "q.npy")
    assert done.exit_code == 2
    assert "got 'p': an array of js_divergence and an option of multiclass_hinge" in done.stderr
    with pytest.raises(ValueError, match="'p': an array of js_divergence and an option of multiclass_hinge"):
        fl.evaluate(["js_divergence", "multiclass_hinge"], p=scores, q=scores, scores=scores, target=target)
    assert re.search(
        r"--p NUMBER +Default 1. \[multiclass_hinge, triplet\] A FILE\s+for js_divergence", run("evaluate", "--help").stdout
    )


def test_an_option_that_is_an_integer_to_one_loss_and_any_number_to_another(tmp_path):
    """`p`: the exponent of multiclass_hinge is 1 or 2, the norm of triplet any number from 1 on."""
    arrays = fl.triplet.sample(np.random.default_rng(0), dtype="float64", size=5)[0]
    for name, a in zip(fl.triplet.arrays, arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", a)
    given = [part for name in fl.triplet.arrays for part in (f"--{name}", tmp_path / f"{name}.npy")]
    for text, p in (("2.5", 2.5), ("3", 3), ("inf", np.inf)):
        done = run("evaluate", "triplet", *given, "--p", text, "--format", "json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["losses"]["triplet"]["mean"] == pytest.approx(fl.triplet(*arrays, p=p), rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_default_option_can_be_said(name):
    loss = fl.LOSSES[name]
    for option, default in loss.options.items():
        assert Value.of(option, [loss]).convert(str(default), None, None) == default, option


@pytest.mark.parametrize("loss", fl.LOSSES.values(), ids=lambda loss: loss.name)
def test_the_choices_of_a_signature_are_those_of_the_loss(loss):
    """The command line reads them there: each is one that the loss takes, and it refuses others with the same words."""
    for option in loss.options:
        kind = Value.of(option, [loss])
        if not kind.choices:
            continue
        arrays, given = loss.sample(np.random.default_rng(0), size=4)
        if option == "activation":  # probabilities are fine as logits
            arrays = (fl.softmax(arrays[0], axis=1), *arrays[1:])
        for choice in (*kind.choices, *[None] * kind.optional):
            loss(*arrays, **{**given, option: choice})
        with pytest.raises(ValueError, match=re.escape(", ".join(map(repr, kind.choices)))):
            loss(*arrays, **{**given, option: "nonsense"})


@pytest.mark.parametrize(
    ("name", "option", "texts"),
    [
        ("ctc", "length_normalize", {"target": "target", "input": "input", "none": None}),
        ("lovasz", "only_present", {"true": True, "False": False, "None": None}),
        ("dice", "activation", {"sigmoid": "sigmoid", "none": None}),
        ("dice", "axis", {"1": 1, "none": None}),
        ("dice", "ignore_index", {"255": 255, "none": None}),
        ("sigmoid_focal", "alpha", {"0.3": 0.3, "none": None}),
        ("box_iou", "format", {"xywh": "xywh"}),
        ("multiclass_hinge", "kind", {"weston_watkins": "weston_watkins"}),
        ("cross_entropy", "class_weight", {"2": 2.0, "none": None, "cw.npy": "cw.npy"}),
        ("gaussian_kl", "prior_mean", {"2": 2.0, "0.npz:m": "0.npz:m"}),
    ],
)
def test_options_are_read_as_their_signatures_say(name, option, texts):
    kind = Value.of(option, [fl.LOSSES[name]])
    for text, value in texts.items():
        got = kind.convert(text, None, None)
        assert got == value and type(got) is type(value), text  # noqa: PT018
    if not kind.arrays:
        with pytest.raises(click.BadParameter, match="not a valid"):
            kind.convert("x.npy", None, None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ctc", {"length_normalize": "target"}),
        ("lovasz", {"only_present": True}),
        ("dice", {"activation": None}),
        ("box_iou", {"format": "xywh"}),  # `--format` is the output's
    ],
)
def test_options_whose_default_is_none_reach_their_loss(name, options, tmp_path):
    loss = fl.LOSSES[name]
    arrays, given = loss.sample(np.random.default_rng(0), dtype="float64", size=5)
    arrays = (fl.softmax(arrays[0], axis=1), *arrays[1:]) if name == "dice" else arrays
    flags = []
    for array_name, array in zip(loss.arrays, arrays, strict=True):
        np.save(tmp_path / f"{array_name}.npy", array)
        flags += [f"--{array_name}", tmp_path / f"{array_name}.npy"]
    options = {**{option: value for option, value in given.items() if option not in loss.beside}, **options}
    for option, value in options.items():
        flags += ["--box-iou-format" if option == "format" else f"--{option.replace('_', '-')}", value]
    done = run("evaluate", name, *flags, "--format", "json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["losses"][name]["mean"] == pytest.approx(loss(*arrays, **options), rel=1e-12)


def test_options_in_all_their_forms(files):
    folder, arrays = files
    weights = np.array([1.0, 2.0, 0.5, 0.0, 3.0])
    np.save(folder / "cw.npy", weights)
    np.savez(folder / "cw.npz", cw=weights)
    for text in ("1,2,0.5,0,3", folder / "cw.npy", f"{folder / 'cw.npz'}:cw"):
        done = run(
            *("evaluate", "cross_entropy", *base(folder), "--class-weight", text),
            *("--ignore-index", "none", "--axis", "-1", "--format", "json"),
        )
        assert done.exit_code == 0, done.stderr
        expected = fl.cross_entropy(arrays["logits"], arrays["target"], class_weight=weights, ignore_index=None)
        mean = json.loads(done.stdout)["losses"]["cross_entropy"]["mean"]
        assert mean == pytest.approx(expected, rel=1e-12)


def test_ignore_index_none_is_an_option_given(files):
    folder, arrays = files
    arrays["target"][3] = -100
    np.save(folder / "target.npy", arrays["target"])
    assert run("evaluate", "cross_entropy", *base(folder)).exit_code == 0
    done = run("evaluate", "cross_entropy", *base(folder), "--ignore-index", "none")
    assert done.exit_code == 1
    assert "got -100 at index (3,)" in done.stderr


def test_per_sample_writes_a_file(files):
    folder, arrays = files
    out = folder / "out.npy"
    done = run("evaluate", "cross_entropy", *base(folder), "--per-sample", out)
    assert done.exit_code == 0
    expected = fl.cross_entropy.terms(arrays["logits"], arrays["target"])[0]
    assert np.load(out, allow_pickle=False).tobytes() == expected.tobytes()


def test_raw_bfloat16(files):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    folder, arrays = files
    logits = arrays["logits"].astype(ml_dtypes.bfloat16)
    np.save(folder / "logits.npy", logits)
    done = run("evaluate", "cross_entropy", *base(folder))
    assert (done.exit_code, done.stdout) == (1, "")
    assert "bfloat16" in done.stderr
    done = run(
        *("evaluate", "cross_entropy", *base(folder)),
        *("--logits-dtype", "bfloat16", "--format", "json"),
    )
    mean = json.loads(done.stdout)["losses"]["cross_entropy"]["mean"]
    assert mean == pytest.approx(fl.cross_entropy(logits, arrays["target"]), rel=1e-6)


def test_every_array_can_be_raw_bfloat16(files):
    """Targets, weights and weights of classes as well: the message names the option, and the option is there."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    folder, arrays = files
    raw = {
        "logits": arrays["logits"],
        "target": np.eye(5)[arrays["target"]],
        "sample_weight": arrays["weight"],
        "class_weight": np.arange(1.0, 6.0),
    }
    raw = {name: array.astype(ml_dtypes.bfloat16) for name, array in raw.items()}
    flags = []
    for name, array in raw.items():
        np.save(folder / f"{name}.npy", array)
        flags += [f"--{name.replace('_', '-')}", folder / f"{name}.npy"]
    for name in ("class_weight", "logits", "target", "sample_weight"):
        done = run("evaluate", "cross_entropy", *flags)
        option = f"--{name.replace('_', '-')}-dtype"
        assert done.exit_code == 1
        assert f"if it is bfloat16, say {option} bfloat16" in done.stderr
        flags += [option, "bfloat16"]
    done = run("evaluate", "cross_entropy", *flags, "--format", "json")
    assert done.exit_code == 0, done.stderr
    mean = json.loads(done.stdout)["losses"]["cross_entropy"]["mean"]
    weights = {name: raw[name] for name in ("sample_weight", "class_weight")}
    assert mean == pytest.approx(fl.cross_entropy(raw["logits"], raw["target"], **weights), rel=1e-6)
    same = fl.evaluate(
        "mse",
        prediction=[1.0] * 500,
        target=[0.0] * 500,
        sample_weight=folder / "sample_weight.npy",
        sample_weight_dtype="bfloat16",
    )
    assert same["mse"].mean == 1.0


# -- What goes wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "Missing argument"),
        ("no_such_loss", "expected one of"),
        ("crossentropy", "did you mean 'cross_entropy'?"),
        ("cross_entropy --logits a", "expected --target FILE"),
        ("cross_entropy cross_entropy --logits a --target b", "twice"),
        ("mse --prediction a --target b --logits c", "--logits belongs to none of"),
        ("mse --prediction a --target b --delta 1", "--delta belongs to none of mse"),
        ("huber --prediction a --target b --delta x", "'x' is not a valid NUMBER"),
        ("mse --prediction a --target b --logits-dtype f2", "belongs to none"),
        ("mse --prediction a --target b --worst -1", "--worst"),
        ("mse --prediction a --target b --threads 0", "--threads"),
        ("mse --prediction a --target b --max-memory lots", "--max-memory"),
        ("mse --prediction a --target b --format xml", "--format"),
        ("mse --nonsense", "No such option"),
    ],
)
def test_usage_errors_exit_with_2(arguments, text):
    done = run("evaluate", *arguments.split())
    assert done.exit_code == 2
    assert text in done.stderr
    assert done.stdout == ""


def test_an_option_out_of_range_is_a_matter_of_usage(files):
    folder, _ = files
    done = run("evaluate", "cross_entropy", *base(folder), "--label-smoothing", 2)
    assert done.exit_code == 2
    assert "cross_entropy: label_smoothing: expected" in done.stderr


def spoilt(folder, what):
    """Spoil the logits or the target."""
    path = folder / ("target.npy" if what in ("label", "float", "length") else "logits.npy")
    match what:
        case "missing":
            path.unlink()
        case "directory":
            path.unlink()
            path.mkdir()
        case "truncated":
            path.write_bytes(path.read_bytes()[:-7])
        case "pickled":
            np.save(path, np.array([{}] * 500), allow_pickle=True)
        case "records":
            np.save(path, np.zeros(500, "f8,i4"))
        case "complex":
            np.save(path, np.zeros((500, 5), complex))
        case "label":
            np.save(path, np.full(500, 5))
        case "float":
            np.save(path, np.zeros(500))
        case "length":
            np.save(path, np.zeros(499, int))
        case "rank":
            np.save(path, np.zeros((500, 5, 2)))
        case "magic":
            path.write_bytes(b"not an array\nat all\n")


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("missing", "logits: "),
        ("directory", "a directory"),
        ("truncated", "expected 10000 bytes"),
        ("pickled", "pickled"),
        ("records", "records"),
        ("complex", "complex"),
        ("label", r"class indices in \[0, 5\), got 5 at index \(0,\)"),
        ("float", "target: expected"),
        ("length", "target: expected 500 rows as in logits, got 499"),
        ("rank", "target"),
        ("magic", "expected a .npy array"),
    ],
)
def test_bad_data_is_one_line_and_exit_1(what, text, files):
    folder, _ = files
    spoilt(folder, what)
    out = folder / "out.npy"
    out.write_bytes(b"precious")
    done = run("evaluate", "cross_entropy", *base(folder), "--per-sample", out)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert re.search(text, done.stderr)
    assert done.stderr.startswith("fastloss: ")
    assert done.stderr.count("\n") == 1
    assert out.read_bytes() == b"precious"
    assert not [name for name in os.listdir(folder) if name.endswith(".part")]


def test_inputs_are_not_overwritten(files):
    folder, _ = files
    done = run("evaluate", "cross_entropy", *base(folder), "--per-sample", folder / "target.npy")
    assert done.exit_code == 1
    assert "per_sample: expected another file than the input" in done.stderr
    assert np.load(folder / "target.npy").shape == (500,)


def test_a_folder_that_is_not_there(files):
    folder, _ = files
    done = run("evaluate", "cross_entropy", *base(folder), "--per-sample", folder / "no" / "x.npy")
    assert done.exit_code == 1
    assert "No such file or directory" in done.stderr


# -- list, show, info ------------------------------------------------------------------------------


def test_list_has_every_loss():
    done = run("list")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    for loss in fl.LOSSES.values():
        (line,) = (line for line in lines if line.split()[0] == loss.name)
        assert loss.family in line
        assert ("Hessian" in line) == (loss.max_order == 2)
    assert any(line.startswith("perplexity") for line in lines)


@pytest.mark.parametrize("name", NAMES)
def test_show_says_all_there_is(name):
    loss = fl.LOSSES[name]
    done = run("show", name)
    assert done.exit_code == 0
    flat = " ".join(done.stdout.split())
    assert flat.startswith(f"{name}({', '.join(loss.arrays)}, *, ")
    for text in (loss.formula, loss.citation, loss.range):
        assert " ".join(text.split()) in flat
    for option, default in loss.options.items():
        assert f"{option} = {default!r}" in flat


def test_show_perplexity_and_what_is_not():
    assert "cross_entropy" in run("show", "perplexity").stdout
    done = run("show", "cross_entrop")
    assert done.exit_code == 2
    assert "did you mean 'cross_entropy'?" in done.stderr


def test_info_names_what_runs():
    done = run("info")
    assert done.exit_code == 0
    for text in (fl.__version__, "openmp", "isa", "threads", "compiler"):
        assert text in done.stdout


def test_version_and_help():
    assert run("--version").stdout == f"fastloss, version {fl.__version__}\n"
    done = run("evaluate", "--help")
    assert done.exit_code == 0
    for name in (*ARRAYS, *OPTIONS):
        flag = "box-iou-format" if name == "format" else name.replace("_", "-")
        assert f"--{flag} " in done.stdout
    assert "--length-normalize target|input|none" in done.stdout
    assert "--only-present true|false|none" in done.stdout
    assert "--sample-weight-dtype TYPE" in done.stdout


# -- Real processes --------------------------------------------------------------------------------


def test_a_process_separates_its_streams(files):
    folder, arrays = files
    done = process("evaluate", "cross_entropy", *base(folder), "--format", "json", "--progress")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # the bar appears after a second
    mean = json.loads(done.stdout)["losses"]["cross_entropy"]["mean"]
    assert mean == pytest.approx(fl.cross_entropy(arrays["logits"], arrays["target"]), rel=1e-12)


def test_a_process_exits_with_1_and_2(files):
    folder, _ = files
    spoilt(folder, "label")
    done = process("evaluate", "cross_entropy", *base(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    done = process("evaluate", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_without_click_the_message_says_what_to_install():
    code = "import sys; sys.modules['click'] = None; import fastloss.cli"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "fastloss: the command line needs click: pip install 'fastloss[cli]'\n"


ROWS = 1_000_000


@pytest.fixture
def large(tmp_path):
    """Logits that take a while: 4 GB of zeros that need no disk."""
    x = np.lib.format.open_memmap(tmp_path / "logits.npy", "w+", np.float32, (ROWS, 1000))
    del x
    np.save(tmp_path / "target.npy", np.zeros(ROWS, np.int8))
    return tmp_path


@pytest.mark.usefixtures("children_hear_sigint")
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_stopping_is_quick_and_keeps_the_checkpoint(large, signum, code):
    checkpoint, out = large / "ck.json", large / "out.npy"
    started = subprocess.Popen(
        command(
            *("evaluate", "cross_entropy", *base(large), "--checkpoint", checkpoint),
            *("--per-sample", out, "--max-memory", "20MB"),
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not [name for name in os.listdir(large) if name.endswith(".part")]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    began = time.monotonic()
    started.send_signal(signum)
    stdout, stderr = started.communicate(timeout=30)
    assert time.monotonic() - began < 10  # on a busy machine; that it stopped early is seen below, by the rows
    assert started.returncode == code, stderr
    assert stdout == ""
    assert "Traceback" not in stderr
    assert not out.exists()
    rows = json.loads(checkpoint.read_text())["content"]["state"]["rows"]
    assert 0 < rows < ROWS
    if signum == signal.SIGINT:
        continues(large, checkpoint, out, rows)


def continues(folder, checkpoint, out, rows):
    """The next run begins after `rows` rows: those before are made bad, and it does not notice."""
    stat = os.stat(folder / "logits.npy")
    with open(folder / "logits.npy", "r+b") as file:
        file.seek(128)
        file.write(np.full(1000, np.nan, np.float32).tobytes())
        file.seek(128 + (ROWS - 1000) * 4000)
        file.write(np.full(1000, np.nan, np.float32).tobytes())
    os.utime(folder / "logits.npy", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert rows < (ROWS - 1000)
    done = process(
        *("evaluate", "cross_entropy", *base(folder), "--checkpoint", checkpoint),
        *("--per-sample", out, "--format", "json", "--worst", 2),
    )
    assert done.returncode == 1
    assert "checkpoint" in done.stderr  # other options than before
    done = process(
        *("evaluate", "cross_entropy", *base(folder), "--checkpoint", checkpoint),
        *("--per-sample", out, "--format", "json"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["losses"]["cross_entropy"]
    assert result["count"] == ROWS
    assert result["nan_count"] == 1
    values = np.load(out, mmap_mode="r")
    assert values.shape == (ROWS,)
    assert np.flatnonzero(np.isnan(values)).tolist() == [(ROWS - 1000)]
    assert values[0] == pytest.approx(math.log(1000), rel=1e-12)
    assert not checkpoint.exists()
