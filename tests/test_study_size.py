"""How large a study is: its table. That a family counts right, its own tests hold."""

import sys

import pytest
from command_line import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import study_size

PAPER, SMOKE = (ROOT / f"config/{name}.yaml" for name in ("paper", "smoke"))


def printed(*overlays, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["study_size.py", *map(str, overlays)])
    study_size.main()
    return capsys.readouterr().out


def test_the_page_has_the_table_of_the_paper_as_it_is_now(monkeypatch, capsys):
    page = (ROOT / "docs/reference/paper_scale.md").read_text()
    assert printed(PAPER, monkeypatch=monkeypatch, capsys=capsys) in page


def test_every_condition_has_a_row_and_the_last_row_is_their_sum():
    families = list(study_size.families([SMOKE]))
    *rows, total = study_size.table(families)
    trained = [family for family in families if family.names]
    assert [row["condition"] for row in rows] == [
        f"{family.name}: {name}" for family in trained for name in family.names
    ]
    assert all(row[key] > 0 for row in rows for key in ("jobs", "parameters", "steps", "flops"))
    assert total == {
        "condition": "**all**",
        "jobs": sum(row["jobs"] for row in rows),
        "flops": pytest.approx(sum(row["flops"] for row in rows)),
    }


def test_jobs_and_flops_are_those_of_all_seeds():
    for family in study_size.families([]):
        for entries in family.section.values():
            for entry in entries if isinstance(entries, list) else []:
                if isinstance(entry, dict):
                    entry.pop("seeds", None)  # of its own, which would hide the section's
        for name in family.names:
            sizes = []
            for seeds in (1, 2):
                family.section["seeds"] = seeds
                sizes.append(family.training_size(name))
            one, two = sizes
            assert (two["jobs"], two["flops"]) == (2 * one["jobs"], pytest.approx(2 * one["flops"]))
            assert (two["parameters"], two["steps"]) == (one["parameters"], one["steps"])


def test_a_later_overlay_wins_over_an_earlier_one(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    family = next(iter(study_size.families([])))
    first.write_text(f"{family.name}: {{seeds: 5, defaults: {{batch_size: 2}}}}")
    second.write_text(f"{family.name}: {{seeds: 7}}")
    section = next(iter(study_size.families([first, second]))).section
    assert (section["seeds"], section["defaults"]["batch_size"]) == (7, 2)


def test_gpu_hours_are_those_of_a_share_of_the_peak():
    a_second = study_size.PEAK[study_size.GPU][0] * 1e12 * study_size.UTILIZATION
    row = {"condition": "x", "jobs": 1, "parameters": 2000, "steps": 3, "flops": 7200 * a_second}
    assert study_size.line(row) == f"| x | 1 | 2,000 | 3 | {7200 * a_second:.1e} | 2 |"


@pytest.mark.parametrize(("text", "said"), [(None, "nowhere.yaml"), ("nothing: {}", "nothing: unknown section")])
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, text, said):
    path = tmp_path / "nowhere.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit):
        printed(path, monkeypatch=monkeypatch, capsys=capsys)
    assert said in capsys.readouterr().err.splitlines()[-1]
