"""The family of docs/add_a_family.md, added to a copy of this checkout by that page's steps."""

import re

import pytest
from command_line import ROOT, copy_of_checkout, snakemake

from memorization.files import read_table
from memorization.records import RECORD, RUN

STEPS = re.findall(
    r"^`(\S+)`\n```(\w*)\n(.*?)^```$", (ROOT / "docs/add_a_family.md").read_text(), re.DOTALL | re.MULTILINE
)


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A checkout after the page's steps, and the folder in which the family was made."""
    checkout = copy_of_checkout(tmp_path_factory.mktemp("added") / "checkout")
    for name, kind, text in STEPS:
        path = checkout / name
        if kind == "diff":
            path.write_text(changed(path.read_text(), text))
        else:
            assert not path.exists(), name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    folder = checkout.parent / "run"
    (checkout / "one_seed.yaml").write_text("lookup: {seeds: 1}")
    snakemake("--cores", "2", *arguments(folder), root=checkout)
    return checkout, folder


def arguments(folder) -> list[str]:
    return ["lookup", "--configfile", "one_seed.yaml", "--directory", str(folder)]


def changed(text: str, diff: str) -> str:
    """A text in which lines are added behind the line of a diff that is there already, and imports before others."""
    (before,) = [line[1:] for line in diff.splitlines() if line.startswith(" ")]
    lines = [line[1:] for line in diff.splitlines() if line.startswith("+")]
    imports = [line for line in lines if line.startswith("from ")]
    assert text.count(f"{before}\n") == 1
    text = text.replace(before, "\n".join([before, *(line for line in lines if line not in imports)]))
    return text.replace("from memorization.", "\n".join([*imports, "from memorization."]), 1)


def test_the_page_s_family_is_made_by_its_name(added):
    _, folder = added
    records, runs = (read_table(folder / f"results/tables/lookup_{name}.parquet") for name in ("records", "runs"))
    assert (list(records), list(runs)) == (list(RECORD), list(RUN))
    assert len(runs) == 2
    assert (records.loc[records["exposures"] > 0, "recall"] == 1).all()
    for ending in ("pdf", "png", "svg"):
        assert (folder / f"results/figures/lookup_recall.{ending}").stat().st_size


def test_its_palette_draws_and_trains_nothing_and_its_mistakes_are_one_line(added):
    checkout, folder = added
    path = checkout / "config/families/lookup.yaml"
    text = path.read_text()
    path.write_text(text.replace("palette: colorblind", "palette: deep"))
    printed = snakemake("-n", *arguments(folder), root=checkout)
    planned = re.findall(r"^(lookup\w*) +\d+$", printed.partition("\nReasons:")[0], re.MULTILINE)
    assert {*planned} == {"lookup", "lookup_recall_figure"}
    path.write_text(text.replace("steps: 60", "steps: 0"))
    printed = snakemake("-n", *arguments(folder), root=checkout, check=False)
    assert "lookup.defaults.steps: 0 is less than the minimum of 1" in printed
    path.write_text(text)


def test_the_page_touches_its_own_files_and_the_list_alone():
    assert [name for name, *_ in STEPS if "lookup" not in name] == ["src/memorization/families.py"]
    assert len(STEPS) == 13
