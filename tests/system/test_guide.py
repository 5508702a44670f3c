"""The guide: pages of one form, code that runs, claims that hold, figures that draw. `pytest -k question_13` runs one page."""

import doctest
import importlib.util
import re
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"
PAGES = sorted(GUIDE.glob("question_*.md"))
PARTS = ["In code", "The claim, as a test", "Where the usual answer goes wrong", "Next"]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CLAIM = re.compile(r"^ *assert (.+)$", re.MULTILINE)

pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="needs a checkout")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def section(text: str, title: str) -> str:
    return re.split(r"^## ", text.split(f"## {title}\n")[1], flags=re.MULTILINE)[0]


def test_there_are_twenty_pages() -> None:
    assert [page.stem for page in PAGES] == [f"question_{k:02d}" for k in range(1, 21)]


@every_page
def test_a_page_has_its_parts(page: Path) -> None:
    text = page.read_text()
    assert re.match(rf"# {int(page.stem[-2:])}\. .+\?\n", text)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    answer = re.search(r":::\{admonition\} In short\n:class: tip\n(.+?)\n:::", text, re.DOTALL)
    assert answer is not None
    assert len(answer[1].split()) <= 40
    assert f":::{{figure}} figures/{page.stem}.svg" in text
    (code,) = BLOCK.findall(section(text, "In code"))
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    wrong = section(text, "Where the usual answer goes wrong")
    assert "PyTorch" in wrong
    assert "scikit-learn" in wrong
    assert "](" in section(text, "Next")


@every_page
def test_the_code_runs_and_the_claim_holds(page: Path) -> None:
    text = page.read_text()
    names: dict[str, object] = {}
    (code,) = BLOCK.findall(section(text, "In code"))
    failures, tried = run_examples(code, names, page)
    assert tried > 2
    assert failures == 0
    (claim,) = BLOCK.findall(section(text, "The claim, as a test"))
    assert len(CLAIM.findall(claim)) >= 2
    exec(compile(claim, str(page), "exec"), names)


def run_examples(code: str, names: dict[str, object], page: Path) -> tuple[int, int]:
    test = doctest.DocTestParser().get_doctest(code, {}, page.stem, str(page), 0)
    test.globs = names
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, clear_globs=False)
    return runner.failures, runner.tries


@pytest.mark.slow
@every_page
def test_the_figure_draws(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    pytest.importorskip("skimage")
    monkeypatch.syspath_prepend(GUIDE / "figures")
    spec = importlib.util.spec_from_file_location(page.stem, GUIDE / "figures" / f"{page.stem}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.pop("style", None)
    spec.loader.exec_module(module)
    module.draw().savefig(tmp_path / "figure.svg")
    assert (tmp_path / "figure.svg").stat().st_size > 5000
