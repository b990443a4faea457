"""What every family is made of, of a toy family; then what holds for all of them."""

from pathlib import Path

import numpy as np
import pytest
from sections import complete

from memorization.configuration import ConfigurationError
from memorization.families import FAMILIES
from memorization.family import Family, Figure, Files, Table, family_of
from memorization.provenance import ROOT

SECTION = {
    "seeds": 2,
    "datasets": [{"name": "some", "size": 10}, {"name": "other", "size": 20}],
    "defaults": {"dataset": "some", "width": 4, "mem_mb": 1000, "runtime": 30},
    "conditions": [
        {"name": "small", "width": 2},
        {"name": "medium"},
        {"name": "large", "dataset": "other", "width": 8, "seeds": [7, 5, 9], "mem_mb": 4000},
    ],
}
PATTERNS = {
    "toy": {"runs": "results/toy/{condition}/seed{seed}.parquet", "table": "results/tables/toy.parquet"},
    "other": {"runs": "results/other/{condition}/{seed}.npz"},
}


class Toy(Family):
    name = "toy"

    @property
    def tables(self) -> list[Table]:
        return [self.pooled("runs", "records", swap=["large"])]


TOY = Toy(SECTION)


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert TOY.names == ["small", "medium", "large"]
    assert TOY.condition("small") == SECTION["defaults"] | {"name": "small", "width": 2}
    assert TOY.dataset("medium") == {"name": "some", "size": 10}
    assert TOY.dataset("large") == {"name": "other", "size": 20}


def test_names_seeds_and_requests_do_not_say_what_a_training_is():
    assert TOY.settings("large") == {"dataset": "other", "width": 8}


def test_what_an_attempt_asks_of_a_cluster_grows_with_each():
    assert [TOY.request("small", "mem_mb", attempt) for attempt in (1, 2, 3)] == [1000, 2000, 3000]
    assert TOY.request("large", "mem_mb", 2) == 8000
    assert TOY.request("large", "runtime", 2) == 60


def test_a_condition_may_have_seeds_of_its_own():
    assert TOY.seeds("small") == [0, 1]
    assert TOY.seeds("large") == [7, 5, 9]
    counted = Toy(SECTION | {"conditions": [{"name": "small", "seeds": 3}]})
    assert counted.seeds("small") == [0, 1, 2]


def test_runs_are_of_each_condition_s_seeds_in_an_order_that_changes_nothing():
    runs = [(each["condition"], each["seed"]) for each in TOY.runs("runs").wildcards]
    assert runs == [("large", 5), ("large", 7), ("large", 9), ("medium", 0), ("medium", 1), ("small", 0), ("small", 1)]
    turned = Toy(SECTION | {"conditions": SECTION["conditions"][::-1]})
    assert turned.runs("runs") == TOY.runs("runs")
    assert [each["condition"] for each in TOY.runs("runs", ["small"]).wildcards] == ["small", "small"]
    assert TOY.runs("runs", []).wildcards == []
    assert TOY.first_seeds("runs", ["large", "small"]).wildcards == [
        {"condition": "large", "seed": 7},
        {"condition": "small", "seed": 0},
    ]


def test_paths_are_of_the_family_that_asks_or_of_the_one_that_is_named():
    files = Files("runs", [{"condition": "small", "seed": 0}, {"condition": "small", "seed": 1}])
    assert files.paths(PATTERNS, "toy") == [f"results/toy/small/seed{seed}.parquet" for seed in (0, 1)]
    assert files.paths(PATTERNS, "other") == [f"results/other/small/{seed}.npz" for seed in (0, 1)]
    others = Files("runs", [{"condition": "small", "seed": 0}], family="other")
    assert others.paths(PATTERNS, "toy") == ["results/other/small/0.npz"]
    assert Files("table", [{}]).paths(PATTERNS, "toy") == ["results/tables/toy.parquet"]


def test_a_table_is_named_by_its_rule_unless_it_is_several():
    assert Table("runs", dict).files == ("runs",)
    assert Table("runs", dict, tables=("one", "two")).files == ("one", "two")


def test_pooled_tables_are_of_all_runs_or_of_the_conditions_that_have_them():
    (table,) = TOY.tables
    assert table.files == ("runs", "records", "swap")
    inputs = table.inputs()
    assert inputs["records"] == TOY.runs("records")
    assert inputs["swap"] == TOY.runs("swap", ["large"])
    assert table.settings() == {}


def test_a_figure_s_file_name_holds_its_wildcards():
    assert Figure("loss", dict).stem == "loss"
    assert Figure("loss", dict, wildcards={"selection": "(_[a-z]+)?"}).stem == "loss{selection}"


def test_names_that_stand_under_a_key_must_be_conditions():
    TOY.check_conditions(["small", "large"], "panels")
    with pytest.raises(ConfigurationError, match=r"^toy\.panels: there is no 'tiny'; allowed: small, medium, large$"):
        TOY.check_conditions(["small", "tiny"], "panels")


@pytest.mark.parametrize(
    ("rule", "family"),
    [
        ("toy", "toy"),
        ("toy_train", "toy"),
        ("mine_toy_train", "toy"),  # behind a module's prefix
        ("toy_box_train", "toy_box"),  # not toy, nor box
        ("box_train", "box"),
        ("mine_toy_box_train", "toy_box"),
        ("random_toys", None),
        ("all", None),
        ("toy_beside_other_figure", None),  # of two families: whoever edits either stops it
    ],
)
def test_a_rule_is_of_the_family_whose_name_it_begins_with(rule, family):
    assert family_of(rule, ["box", "toy", "toy_box", "other"]) == family


def built(scale=None) -> dict[str, Family]:
    config, families = complete(scale), {}
    for kind in FAMILIES:
        families[kind.name] = kind(config[kind.name], others=dict(families))
    return families


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_rule_of_a_family_s_outputs_is_told_to_be_its(name):
    family = built()[name]
    rules = [f"{name}_{table.name}_table" for table in family.tables]
    rules += [f"{name}_{figure.name}_figure" for figure in family.figures]
    assert {family_of(rule, [each.name for each in FAMILIES]) for rule in rules} == {name}


@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_table_and_figure_has_its_script_its_caption_and_its_settings(name):
    family, workflow = built()[name], ROOT.parent / "workflow"
    outputs = [(table, "table") for table in family.tables] + [(figure, "figure") for figure in family.figures]
    for output, kind in outputs:
        assert (workflow / "scripts" / (output.script or f"{name}/{output.name}_{kind}.py")).is_file()
    for figure in family.figures:
        assert (workflow / "report" / (figure.caption or f"{name}_{figure.name}.rst")).is_file()
    assert {figure.name for figure in family.figures} == family.section["figures"].keys()


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
@pytest.mark.parametrize("name", [family.name for family in FAMILIES])
def test_every_family_says_how_large_its_trainings_are(name, scale):
    family = built(scale)[name]
    for condition in family.names:
        size = family.training_size(condition)
        if size is None:
            continue
        assert size.keys() == {"jobs", "parameters", "steps", "flops"}
        assert size["jobs"] >= len(family.seeds(condition))
        assert size["parameters"] == int(size["parameters"]) > 0
        assert 0 < size["steps"] <= family.condition(condition).get("steps", np.inf)  # or as many as there is text
        assert size["flops"] > size["parameters"] * size["steps"]


def test_families_stand_in_the_list_once_and_have_their_places():
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for name in names:
        for place in (
            f"src/memorization/{name}",
            f"config/families/{name}.yaml",
            f"workflow/schemas/{name}.schema.yaml",
        ):
            assert Path(ROOT.parent / place).exists(), place
