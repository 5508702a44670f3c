"""The examples do what they say: they learn, and the command line agrees with them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastloss as fl

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPT = FOLDER / "digits.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.skipif(not SCRIPT.exists(), reason="needs a checkout")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    out = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, str(SCRIPT), "--out", str(out)], check=True, timeout=300)
    return out


def test_the_network_learns_digits(demo: Path) -> None:
    logits, target = np.load(demo / "logits.npy"), np.load(demo / "target.npy")
    assert logits.shape == (899, 10)
    assert np.mean(logits.argmax(axis=1) == target) > 0.96
    assert fl.cross_entropy(logits, target) < 0.12
    assert fl.cross_entropy(np.zeros_like(logits), target) == pytest.approx(np.log(10))


def test_the_picture_is_drawn(demo: Path) -> None:
    picture = (demo / "hardest_digits.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_the_command_line_agrees(demo: Path) -> None:
    pytest.importorskip("click")
    logits, target = np.load(demo / "logits.npy"), np.load(demo / "target.npy")
    command = ["evaluate", "cross_entropy", "perplexity", "--format", "json", "--worst", "10"]
    for name, file in [("logits", "logits"), ("target", "target"), ("group", "target")]:
        command += [f"--{name}", str(demo / f"{file}.npy")]
    done = subprocess.run(
        [sys.executable, "-m", "fastloss", *command],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    losses = json.loads(done.stdout)["losses"]
    values = fl.cross_entropy(logits, target, reduction="none")
    mean = losses["cross_entropy"]["mean"]
    assert mean == pytest.approx(fl.cross_entropy(logits, target), rel=1e-6)
    assert losses["perplexity"]["mean"] == pytest.approx(np.exp(mean), rel=1e-12)
    hardest = [sample["index"] for sample in losses["cross_entropy"]["worst"]]
    assert hardest == np.argsort(-values)[:10].tolist()
    for group in losses["cross_entropy"]["groups"]:
        mine = target == group["group"]
        assert group["count"] == mine.sum()
        assert group["mean"] == pytest.approx(values[mine].mean(), rel=1e-5)
    assert len(losses["cross_entropy"]["groups"]) == 10


def run(script: str, out: Path, *arguments: str) -> str:
    """What an example prints. On one thread: beside other workers, the threads of BLAS spend most of their time waiting."""
    command = [sys.executable, str(FOLDER / script), "--out", str(out), *arguments]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=900, env=one_thread).stdout


def test_a_network_learns_to_read_lines_without_being_told_where_the_digits_are(tmp_path: Path) -> None:
    """From CTC's gradient alone; lines of scans that it has never seen. Most are read without a mistake."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    printed = run("ocr_lines.py", tmp_path)
    found = re.search(r"character error rate ([\d.]+) %", printed)
    assert found is not None
    assert float(found[1]) < 5
    lines = re.findall(r"^written (\d+) +read (\d+)( +\d+ wrong)?$", printed, re.MULTILINE)
    assert len(lines) == 8
    assert all((written == read) == (not wrong) for written, read, wrong in lines)
    assert sum(written == read for written, read, _ in lines[:6]) >= 3
    picture = (tmp_path / "ocr_alignment.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


@pytest.mark.parametrize("seed", ["0", "1"])
def test_an_embedding_tells_digits_apart_that_it_has_never_seen(seed: str, tmp_path: Path) -> None:
    """Better than their pixels do, whichever digits were kept back; seven of them taught it, by the hardest triplets."""
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    printed = run("digit_embeddings.py", tmp_path, "--seed", seed)
    kept = re.search(r"of 7 digits; (\d), (\d), (\d) are kept back", printed)
    assert kept is not None
    found = re.search(r"([\d.]+)% by embedding, ([\d.]+)% by pixels", printed)
    assert found is not None
    assert float(found[1]) > float(found[2]) + 5
    picture = (tmp_path / "digit_embeddings.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


@pytest.mark.parametrize("word", ["hello", "mississippi"])
def test_letters_are_found_where_they_were_spoken(word: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    printed = run("ctc_alignment.py", tmp_path, "--word", word)
    letters = re.findall(r"^(\w) +(\d+) to +(\d+) +(\d+) to +(\d+) +([\d.]+)$", printed, re.MULTILINE)
    assert "".join(row[0] for row in letters) == word
    for _, start, end, first, last, chance in letters:
        assert abs(int(start) - int(first)) <= 4
        assert abs(int(end) - int(last)) <= 4
        assert float(chance) > 0.5
    picture = (tmp_path / "ctc_alignment.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000


def test_a_loss_of_ones_own() -> None:
    """Checked, trained with, evaluated; promises are kept more often than broken, and outliers do not bend the line."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT.with_name("custom_loss.py"))], check=True, capture_output=True, text=True, timeout=60
    )
    assert "gradcheck late_is_worse: passed" in done.stdout
    promise = re.search(r"promise ([\d.]+) min \+ ([\d.]+) min per km", done.stdout)
    assert promise is not None
    assert 5.5 < float(promise[1]) < 7
    assert 2.9 < float(promise[2]) < 3.1
    kept = re.search(r"(\d+)% come before", done.stdout)
    assert kept is not None
    assert int(kept[1]) > 75
    assert re.search(r"^late_is_worse +88\.", done.stdout, re.MULTILINE)


def test_a_network_segments_coins(tmp_path: Path) -> None:
    """On the part of the photograph that it has not seen, better than a threshold on brightness; and the picture is drawn."""
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    command = [sys.executable, str(SCRIPT.with_name("segment.py")), "--out", str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=280)
    found = re.search(r"intersection over union ([\d.]+) \(of a threshold on brightness: ([\d.]+)\)", done.stdout)
    assert found is not None
    assert float(found[1]) > 0.9
    assert float(found[1]) > float(found[2])
    assert (tmp_path / "coins.png").read_bytes().startswith(b"\x89PNG")
