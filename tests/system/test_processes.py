"""Promise: forks work, Ctrl-C is heard, the CPU quota is respected, the floating-point mode is left alone.

Each test runs a small program in a process of its own, under a time limit.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import DTYPES
from matrix import every

import fastloss as fl
import fastloss._threads as _threads

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


def python(code: str, timeout: float = 120.0, **environment: str | None) -> str:
    """Run a program; what it printed. None takes a variable out of the environment."""
    env = {k: v for k, v in {**os.environ, **environment}.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# -- fork --------------------------------------------------------------------------------------------

PARENT = """
    import os, signal, sys, threading
    import numpy as np, fastloss as fl
    fl.set_num_threads(4)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20011, 33)).astype(np.float32)
    y = rng.integers(0, 33, 20011)
    a, b = rng.normal(size=(2, 1_000_003)).astype(np.float32)

    def work():
        value, grad = fl.cross_entropy.value_and_grad(x, y)
        return value, float(np.abs(grad).sum()), fl.mse(a, b), fl.huber.grad(a, b).tobytes()[-64:]

    expected = work()

    def child(job):
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)  # a hang becomes death by SIGALRM
            try:
                os._exit(0 if job() else 1)
            finally:
                os._exit(2)
        return os.waitpid(pid, 0)[1]
"""


@posix
def test_a_hundred_forks_after_parallel_calls() -> None:
    code = (
        PARENT
        + """
    for i in range(100):
        assert work() == expected
        assert child(lambda: work() == expected) == 0, i
    print("done")
    """
    )
    assert python(code, timeout=240) == "done"


@posix
def test_fork_of_a_fork_and_a_new_thread_count_in_the_child() -> None:
    code = (
        PARENT
        + """
    def grandchild():
        fl.set_num_threads(3)
        return work() == expected and child(lambda: work() == expected) == 0
    assert child(grandchild) == 0
    assert work() == expected
    print("done")
    """
    )
    assert python(code) == "done"


@posix
def test_fork_while_other_threads_are_calling() -> None:
    code = (
        PARENT
        + """
    stop = threading.Event()
    def spin():
        while not stop.is_set():
            work()
    threads = [threading.Thread(target=spin) for _ in range(3)]
    for t in threads: t.start()
    try:
        for i in range(10):
            assert child(lambda: work() == expected) == 0, i
    finally:
        stop.set()
    for t in threads: t.join()
    assert work() == expected
    print("done")
    """
    )
    assert python(code) == "done"


@posix
def test_fork_before_the_first_call() -> None:
    code = """
    import os, signal, numpy as np, fastloss as fl
    pid = os.fork()
    if pid == 0: signal.alarm(20)
    x = np.ones(1_000_003, np.float32)
    ok = fl.mse(x, 0.0) == 1.0
    if pid == 0: os._exit(not ok)
    assert ok and os.waitpid(pid, 0)[1] == 0
    print("done")
    """
    assert python(code) == "done"


@posix
def test_multiprocessing_pool_after_parallel_calls() -> None:
    code = (
        PARENT
        + """
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = [pool.apply_async(work) for _ in range(12)]
        assert [r.get(60) for r in results] == [expected] * 12
    print("done")
    """
    )
    assert python(code) == "done"


@posix
def test_child_reports_bad_input_too() -> None:
    code = (
        PARENT
        + """
    def bad():
        z = y.copy(); z[-1] = 33
        try: fl.cross_entropy(x, z)
        except IndexError as e: return "got 33 at index (20010,)" in str(e)
    assert child(bad) == 0
    print("done")
    """
    )
    assert python(code) == "done"


# -- Ctrl-C ------------------------------------------------------------------------------------------

LONG_CALL = """
    import os, resource, signal, threading, time, numpy as np, fastloss as fl
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # a hidden copy dies here, not the machine

    def heard(call):
        '''CPU seconds of this process from SIGINT to KeyboardInterrupt; None if the call ended before the signal came.'''
        sent, ended = [], threading.Event()
        def interrupt():
            if not ended.wait(0.05):
                sent.append(time.process_time())
                os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=interrupt)
        try:
            thread.start()
            call()
            ended.set()
            thread.join()
            time.sleep(0.01)  # a signal on its way arrives here
        except KeyboardInterrupt:
            return None if ended.is_set() else time.process_time() - sent[0]

    def long(name, length):
        '''A call of a loss whose work grows with the length, on one page that is read over and over.'''
        loss = fl.LOSSES[name]
        args, options = loss.sample(np.random.default_rng(0), size=256)
        if name == "lovasz":  # which sorts
            x = np.broadcast_to(np.random.default_rng(0).normal(size=2000).astype("f"), (1, 8 * length, 2000))
            return lambda: loss(x, x > 0.5, activation="sigmoid", axis=None)
        if loss.batchwise:  # all pairs of these
            many = [np.resize(a, (256 * length, *a.shape[1:])) for a in args]
        elif loss.family == "sequence":  # few labels, many frames
            many = [np.broadcast_to(args[0][0, 0], (length, 8000, args[0].shape[2])), np.broadcast_to(args[1][0], (length, 3))]
        elif loss.regions:  # items grow in space
            many = [np.broadcast_to(np.expand_dims(a, a.ndim - 2), (*a.shape[:-2], 256 * length, *a.shape[-2:])) for a in args]
        else:
            longer = lambda a: np.broadcast_to(a, (256 * length, *a.shape))
            many = [a if key in loss.shared else longer(a) for key, a in zip(loss.arrays, args)]
        return lambda: loss(*many, **options)

    for threads in (1, 2):
        fl.set_num_threads(threads)
        times, length = [], 1000
        while len(times) < 3:
            spent = heard(CALL)
            if spent is None:
                length *= 4  # until it lasts, however fast the machine is
            else:
                times.append(spent / threads)
        print(min(times))
    assert np.isfinite(fl.mse([1.0], [2.0]))  # all is well afterwards
"""

# One loss of each engine: elements, sums along rows, softmax of rows, scores, thresholds, sequences, overlaps, their sort,
# boxes, rows of vectors, mined triplets, contrasts; and a function of rows.
ENGINES = {
    name: f"long({name!r}, length)"
    for name in (
        *("mse", "kl_div", "cross_entropy", "multiclass_hinge", "cumulative_link", "ctc", "dice", "lovasz", "box_iou", "triplet"),
        *("batch_triplet", "nt_xent", "info_nce"),
    )
} | {"logsumexp": "lambda: fl.logsumexp(np.broadcast_to(np.float32(0), (2, 1_000_000 * length)))"}


@linux
@pytest.mark.usefixtures("children_hear_sigint")
@every("engine", ENGINES)
def test_ctrl_c_in_a_long_call_is_heard_within_a_fifth_of_a_second(engine: str) -> None:
    """In the process's own time, for a busy machine delays a process; the best of three, with one thread and with two."""
    for spent in map(float, python(LONG_CALL.replace("CALL", ENGINES[engine])).split()):
        assert 0 <= spent < 0.2


LONG_SORT = """
    import signal, time, numpy as np, fastloss as fl
    x = np.broadcast_to(np.random.default_rng(0).normal(size=2000).astype(DTYPE), (1, 20_000, 2000))
    y = np.broadcast_to(np.arange(2000, dtype=np.uint8) % 2, x.shape)
    fl.set_num_threads(1)
    heard = [time.thread_time()]
    signal.signal(signal.SIGALRM, lambda *_: heard.append(time.thread_time()))
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    fl.lovasz.METHOD(x, y, activation="sigmoid", axis=None)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(np.diff([*heard, time.thread_time()]).max())
"""


@linux
@every("method", ["__call__", "grad"], quick=lambda method: method == "__call__")
@every("dtype", DTYPES, quick=lambda dtype: dtype == "float32")
def test_a_long_sort_checks_for_signals_all_the_time(dtype: str, method: str) -> None:
    """One class of 40 million errors: the longest time, of this thread's own, in which no signal is seen."""
    code = textwrap.dedent(LONG_SORT).replace("DTYPE", repr(dtype)).replace("METHOD", method)
    assert float(python(code)) < 0.3


# -- The CPU's share ---------------------------------------------------------------------------------

CLEAN: dict[str, Any] = {"FASTLOSS_NUM_THREADS": None, "OMP_NUM_THREADS": None}
COUNT = "import fastloss as fl; print(fl.get_num_threads())"


@linux
def test_default_is_the_affinity() -> None:
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, [{one}]); {COUNT}"
    assert python(code, **CLEAN) == "1"
    assert 1 <= int(python(COUNT, **CLEAN)) <= len(os.sched_getaffinity(0))


def test_environment_sets_the_default() -> None:
    assert python(COUNT, **{**CLEAN, "FASTLOSS_NUM_THREADS": "3"}) == "3"
    assert python(COUNT, **{**CLEAN, "OMP_NUM_THREADS": "5"}) == "5"
    assert python(COUNT, **{**CLEAN, "OMP_NUM_THREADS": "5", "FASTLOSS_NUM_THREADS": "3"}) == "3"


def test_environment_that_is_no_number() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import fastloss"],
        capture_output=True,
        text=True,
        env={**os.environ, "FASTLOSS_NUM_THREADS": "many"},
        check=False,
    )
    assert "FASTLOSS_NUM_THREADS: expected a positive integer, got 'many'" in done.stderr


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
    ids=str,
)
def test_cgroup_quota_is_read(files: dict[str, str], quota: float | None, tmp_path: Path) -> None:
    """Version 1 and version 2, limited and not."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert _threads._cgroup_quota(tmp_path) == quota


@pytest.mark.parametrize(("quota", "count"), [(0.5, 1), (1.0, 1), (1e9, None), (None, None)])
def test_default_is_no_more_than_the_quota(quota: float | None, count: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CLEAN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(_threads, "_allowed_cpus", lambda: 3)
    monkeypatch.setattr(_threads, "_cgroup_quota", lambda: quota)
    assert _threads.default_num_threads() == (count or 3)


def test_set_num_threads_leaves_openmp_of_others_alone() -> None:
    """No omp_set_num_threads as a side effect: another extension keeps its own team size."""
    code = """
    import fastloss as fl
    from threadpoolctl import threadpool_info
    sizes = lambda: {p["filepath"]: p["num_threads"] for p in threadpool_info() if p["user_api"] == "openmp"}
    before = sizes()
    fl.set_num_threads(before and max(before.values()) + 3 or 3)
    fl.mse([0.0] * 1_000_003, 1.0)
    print(sizes() == before)
    """
    pytest.importorskip("threadpoolctl")
    assert python(code) == "True"


# -- The floating-point environment ------------------------------------------------------------------

FENV = """
    import ctypes, ctypes.util, sys
    import numpy as np
    libm = ctypes.CDLL(ctypes.util.find_library("m"))

    def state():
        tiny = np.full(3, np.float32(1e-45)); small = np.full(3, 1e-310)
        words = ctypes.create_string_buffer(256)
        libm.fegetenv(words)
        control = int.from_bytes(words.raw[28:32], "little") & ~0x3F if MXCSR else 0  # without sticky flags
        return (libm.fegetround(), control, float(tiny[0] + tiny[1]), float(small[0] / 2), float(small[1] + small[2]),
                float(np.float64(1) + np.float64(2.0 ** -53)))

    before = state()
    assert before[2] > 0 and before[3] > 0
    import fastloss as fl
    assert state() == before, "import"
    fl.set_num_threads(4)
    fl._kernels.set_parallel_from(1)
    for size in (5, 9001):
        for loss in fl.LOSSES.values():
            for dtype in ("float32", "float64"):
                rows = min(size, 403) if loss.batchwise else size  # of which each is compared with all others
                args, options = loss.sample(np.random.default_rng(0), dtype=dtype, size=rows)
                loss(*args, **options)
                if loss.max_order >= 1: loss.value_and_grad(*args, **options)
                if loss.max_order >= 2: loss.grad_and_hess(*args, **options)
                assert state() == before, (loss.name, dtype, size)
        x = np.random.default_rng(0).normal(size=(size, 7))
        for f in (fl.softmax, fl.log_softmax, fl.logsumexp): f(x)
        fl.perplexity(x, np.zeros(size, int))
    try: fl.cross_entropy(x, np.full(size, 9))
    except IndexError: pass
    assert state() == before, "calls"
    print("same")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no libm to ask")
def test_floating_point_environment_is_left_alone() -> None:
    """Denormals, rounding and exception masks, after import and after calls."""
    mxcsr = sys.platform == "linux" and platform.machine() == "x86_64"
    assert python(FENV.replace("MXCSR", str(mxcsr))) == "same"


def test_floating_point_errors_do_not_leak() -> None:
    """Overflow inside a kernel raises no NumPy warning or error."""
    with np.errstate(all="raise"):
        assert fl.mse(np.float32([1e30]), np.float32([0]), reduction="none")[0] == np.inf
        fl.cross_entropy([[1e300, -1e300, -np.inf]], [0])
        fl.binary_cross_entropy_with_logits([800.0, -800.0, np.inf], [0.0, 1.0, 1.0])


# -- CPU levels --------------------------------------------------------------------------------------


def test_level_of_the_environment() -> None:
    for level in fl._kernels.available_isa():
        assert python("import fastloss as fl; print(fl._kernels.get_isa())", FASTLOSS_ISA=level) == level


def test_default_level_is_the_best_one() -> None:
    best = fl._kernels.available_isa()[-1]
    assert python("import fastloss as fl; print(fl._kernels.get_isa())", FASTLOSS_ISA=None) == best


def test_unknown_level_is_an_error_that_names_the_choices() -> None:
    with pytest.raises(ValueError, match="baseline"):
        fl._kernels.set_isa("v99")
    done = subprocess.run(
        [sys.executable, "-c", "import fastloss"],
        capture_output=True,
        text=True,
        env={**os.environ, "FASTLOSS_ISA": "v99"},
        check=False,
    )
    assert "v99" in done.stderr
    assert "FASTLOSS_ISA" in done.stderr


def test_config_tells_all() -> None:
    config = fl.show_config(mode="dicts")
    assert config["version"] == fl.__version__
    assert config["isa"] == fl._kernels.get_isa()
    assert config["isa_available"] == fl._kernels.available_isa()
    assert config["isa_available"][0] == "baseline"
    assert config["threads"] == fl.get_num_threads()
    assert isinstance(config["openmp"], bool)
    for key in ("compiler", "numpy", "python", "cpu"):
        assert config[key]


def test_config_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert fl.show_config() is None
    text = capsys.readouterr().out
    for key in ("isa", "compiler", "openmp", "threads"):
        assert key in text.lower()
