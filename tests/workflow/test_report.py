"""The report of the smoke study: one file that a browser shows without a network."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser, browser, missing
from command_line import smoke_jobs, snakemake

from memorization.captions import caption


def declared() -> dict[str, dict[str, tuple[str, str]]]:
    """Path and caption of all that the smoke study's rules have for the report, by category and label."""
    found = {}
    for job in smoke_jobs():
        for path in job.output:
            entry = path.flags.get("report")
            if entry:
                label = entry.labels["figure"].format(**job.wildcards)
                text = caption(entry.caption.get_path_or_uri(secret_free=False), job.rule.name)
                found.setdefault(str(entry.category), {})[label] = str(path), re.sub(r"[*`\\]", "", text)
    return found


DECLARED = declared()
FAMILY = pytest.mark.parametrize("family", sorted(DECLARED))


@pytest.fixture(scope="module")
def report(study, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    snakemake("--report", str(path), *study.arguments(), root=study.root)
    return path


@pytest.fixture(scope="module")
def started() -> Iterator[Browser]:
    why = missing()
    if why:
        pytest.skip(f"tests/workflow/test_report.py {why}")
    with browser() as started:
        yield started


@pytest.fixture
def opened(report, started) -> Iterator[Browser]:
    """A browser with the report as it first shows; in the end there must be no error on its console."""
    started.open(report)
    yield started
    assert errors(started) == []


def errors(browser: Browser) -> list[dict]:
    return [entry for entry in browser.console() if entry["level"] == "SEVERE"]


def test_the_report_holds_every_figure_and_its_caption(report):
    """As far as text can tell, which needs no browser."""
    text = report.read_text()
    for figures in DECLARED.values():
        for path, words in figures.values():
            assert Path(path).name in text
            assert " ".join(words.split()[:6]) in " ".join(re.sub(r"\\n|<[^>]*>", " ", text).split()), path


def test_every_family_with_figures_has_a_category(opened):
    assert set(opened.texts("//nav//ul//a")) == {"Workflow", "Statistics", "About", *DECLARED}


@FAMILY
def test_a_reader_finds_every_figure_of_a_family_sees_it_and_reads_its_caption(study, opened, family):
    """By clicks alone: the family, a figure's eye, its i, back to the family."""
    opened.click(f"//nav//ul//a[span = '{family}']")
    shown = [label.strip() for label in opened.texts("//nav//tbody/tr/td[1]")]
    assert sorted(shown) == sorted(DECLARED[family])
    for n, label in enumerate(shown, 1):
        path, words = DECLARED[family][label]
        opened.click(f"(//nav//tbody/tr)[{n}]/td[2]//a[1]")
        seen = opened.run(f"return {SEEN}")
        assert seen["whole"], path
        assert base64.b64decode(seen["source"].partition("base64,")[2]) == (study.folder / path).read_bytes(), path
        opened.click(f"(//nav//tbody/tr)[{n}]/td[2]//a[2]")
        (read,) = opened.texts("//nav//li[contains(@class, 'prose')]")
        assert " ".join(read.split()) == words
        opened.click(f"//nav//ol//a[. = '{family}']")


# What is shown beside the menu: a picture that is drawn, or a page.
SEEN = """(async () => {
  const shown = document.querySelector('#app img:not(nav img), #app iframe');
  if (shown.tagName == 'IFRAME') return {whole: shown.clientHeight > 100, source: shown.src};
  await shown.decode();
  return {whole: shown.naturalWidth > 100 && shown.clientHeight > 50, source: shown.src};
})()"""


def test_the_workflow_and_the_times_of_its_jobs_are_drawn(opened):
    for view in ("Workflow", "Statistics"):
        opened.click(f"//nav//ul//a[span = '{view}']")
        assert opened.run("return document.querySelectorAll('#app canvas, #app .marks').length") >= 1, view


def test_the_browser_reaches_no_network_and_says_what_it_misses(started, tmp_path):
    """Or nothing here would notice a report that is not whole."""
    page = tmp_path / "page.html"
    page.write_text('<!doctype html><script src="https://example.org/react.js"></script><script>render()</script>')
    started.open(page)
    missed = " ".join(entry["message"] for entry in errors(started))
    assert "https://example.org/react.js" in missed
    assert "render is not defined" in missed
