"""Promise: an evaluation's memory is bounded, and it checks for signals."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from evaluations import bits, classes, peak_memory, python

import fastloss as fl


@pytest.mark.slow
@pytest.mark.parametrize("order", ["C", "F"])
def test_peak_memory_is_bounded(order, tmp_path):
    shape = (2000, 50_000) if order == "C" else (50_000, 2000)
    fortran = order == "F"
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape, fortran)
    for rows in np.array_split(x if order == "C" else x.T, 20):
        rows[:] = 0.5
    x.flush()
    size = x.nbytes
    del x
    np.save(tmp_path / "t.npy", np.zeros(shape[0], np.int64))
    peak = peak_memory(
        f"fl.evaluate('cross_entropy', logits={str(tmp_path / 'x.npy')!r}, target={str(tmp_path / 't.npy')!r}, max_memory='32MB')"
    )
    assert size == 400_000_000
    assert peak < 132e6


@pytest.mark.usefixtures("children_hear_sigint")
def test_ctrl_c_is_answered_at_once(tmp_path):
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (200_000, 1000))  # sparse zeros
    process = python(
        f"print('ready', flush=True)\n"
        f"while True: fl.evaluate('cross_entropy', logits={str(tmp_path / 'x.npy')!r}, "
        f"target=np.zeros(200_000, int), per_sample={str(tmp_path / 'out.npy')!r})"
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 10  # a busy machine may take long; what would not listen never ends
    assert "KeyboardInterrupt" in err
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]


def test_evaluations_in_many_threads():
    logits, target = classes()
    whole = bits(fl.evaluate("cross_entropy", logits=logits, target=target))
    results = []

    def work():
        given = {"logits": logits, "target": target}
        results.extend(bits(fl.evaluate("cross_entropy", **given)) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [whole] * 40
