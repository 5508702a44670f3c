"""The documentation is true: examples run, generated parts are current, links lead somewhere."""

import doctest
import importlib
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import fastloss as fl

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
PUBLIC = sorted(name for name in fl.__all__ if not name.startswith("_"))

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="needs a checkout")


def load(path: Path) -> ModuleType:
    """A script as a module, without its folder on the path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_examples(text: str, name: str) -> int:
    """Run the examples of a text in one namespace; how many there were."""
    globs: dict[str, object] = {}
    test = doctest.DocTestParser().get_doctest(text, globs, name, name, 0)
    report: list[str] = []
    results = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=report.append)
    assert results.failed == 0, "".join(report)
    return results.attempted


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_examples_run(name: str) -> None:
    run_examples(getattr(fl, name).__doc__ or "", name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_pages_run(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    attempted = run_examples("\n".join(blocks), page.name)
    assert attempted > 0 or page.name != "README.md"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "reference/")):  # the reference is made by the build
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_generated_pages_are_current() -> None:
    for path, text in load(ROOT / "docs/generate.py").pages().items():
        assert path.read_text() == text, f"{path.name} is out of date: run `make docs`"


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """bench/readme.py, which writes what was measured into the pages."""
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("bench.readme")


def test_tables_of_pages_are_the_saved_results(readme: ModuleType) -> None:
    tables = readme.tables()
    pages = {name: (ROOT / name).read_text() for name in readme.PAGES}
    for name, page in pages.items():
        assert readme.render(page, tables) == page, f"{name}: run `make bench-readme`"
    for name in tables:
        assert any(f"<!-- {name}:begin -->" in page for page in pages.values()), f"no page shows {name}"


def test_picture_is_of_the_saved_results(readme: ModuleType) -> None:
    picture = importlib.import_module("bench.picture")
    text = readme.PICTURE.read_text()
    assert picture.digest(readme.saved.load(readme.RESULTS)) in text, "run `make bench-readme`"
    assert len(text.encode()) < 100_000
    assert not list((ROOT / "bench/results").glob("*.png"))


def test_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    table = re.search(r"<!-- speed-front:begin -->(.*?)<!-- speed-front:end -->", text, re.DOTALL)
    assert table is not None
    assert len(re.findall(r"^\|", table[1], re.MULTILINE)) == 12  # a header, a rule and ten rows


def test_every_peer_that_ran_has_its_version(readme: ModuleType) -> None:
    results = readme.saved.load(readme.RESULTS)
    page = (ROOT / "docs/speed.md").read_text()
    for column in {name.rstrip("'") for row in results["rows"] for name in row["times"]} - {"fastloss out=", "in memory"}:
        assert results["peers"][column], column
        for package, version in results["peers"][column].items():
            assert f"| `{package}` | {version} |" in page


def test_rows_behind_come_first(readme: ModuleType) -> None:
    """The page opens with every row that has a faster peer."""
    results = readme.saved.load(readme.RESULTS)
    top = (ROOT / "docs/speed.md").read_text().partition("<!-- speed-behind:end -->")[0]
    report = readme.pages.report
    counted = [row for row in results["rows"] if (peer := report.best_peer(row)) and report.ratio(row, peer) < 1]
    assert top.count("\n| ") == (len(counted) + 2 if counted else 0)
    assert all(row["title"] in top for row in counted)


def test_changelog_names_this_version() -> None:
    assert f"## [{fl.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_loss_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    made = importlib.import_module("pages.reference").pages()
    for loss in fl.LOSSES.values():
        assert made[f"{loss.name}.md"].startswith(f"# {loss.name}\n")
        assert f"({loss.name}.md)" in made[f"family_{loss.family}.md"]
    for name in re.findall(r"\]\(reference/(\w+\.md)\)", (ROOT / "docs/index.md").read_text() + made["cheatsheet.txt"]):
        assert name in made


def test_saved_results_are_complete_numbers() -> None:
    """Whatever was saved was measured in full: every named row on one thread has our time."""
    path = ROOT / "bench/results/latest.json"
    if not path.exists():
        pytest.skip("no results have been saved")
    results = json.loads(path.read_text())
    rows = [row for row in results["rows"] if row["threads"] == 1]
    assert rows
    assert not results["quick"]
    assert all("fastloss" in row["times"] for row in rows)
