"""Targets of stages, with rules that are not Snakemake's."""

import re

import pytest

from memorization.configuration import ConfigurationError
from memorization.targets import files_below, made_for, stages


class Rule:
    """As much of Snakemake's as a walk needs; it counts how often it is asked for its inputs."""

    def __init__(self, inputs: list[str], *output: str):
        self.inputs, self.output, self.asked = inputs, output, 0

    def get_wildcards(self, path):
        patterns = (re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(output)) for output in self.output)
        return next((found.groupdict() for found in (re.fullmatch(each, path) for each in patterns) if found), None)

    def is_producer(self, path):
        return self.get_wildcards(path) is not None

    def expand_output(self, wildcards):
        return [output.format(**wildcards) for output in self.output], {}

    def expand_input(self, wildcards):
        self.asked += 1
        return [each.format(**wildcards) for each in self.inputs], {}, {}, False


def rules(prefix=""):
    return [
        Rule([], f"{prefix}results/toy/data/{{run}}.npz"),
        Rule(
            [f"{prefix}results/toy/data/{{run}}.npz"],
            f"{prefix}results/toy/models/{{run}}.npz",
            f"{prefix}results/toy/models/{{run}}.json",
        ),
        Rule([f"{prefix}results/toy/models/{{run}}.json"], f"{prefix}results/toy/converted/{{run}}.npz"),
        Rule(
            [f"{prefix}results/toy/models/{name}.npz" for name in "ba"] + ["elsewhere.csv"],
            f"{prefix}results/tables/toy.parquet",
        ),
        Rule([f"{prefix}results/tables/toy.parquet"], f"{prefix}results/figures/toy.pdf"),
        Rule([f"{prefix}results/figures/toy.pdf"]),  # a target
    ]


TARGETS = ["results/tables/toy.parquet", "results/figures/toy.pdf"]
MODELS = [f"results/toy/models/{name}" for name in ("a.json", "a.npz", "b.json", "b.npz")]


def test_all_that_a_job_makes_counts_and_each_job_once():
    of_toy = rules()
    assert made_for(TARGETS, of_toy) == sorted([*TARGETS, *MODELS, "results/toy/data/a.npz", "results/toy/data/b.npz"])
    assert [rule.asked for rule in of_toy] == [2, 2, 0, 1, 1, 0]


@pytest.mark.parametrize("prefix", ["", "mine/"])
def test_a_stage_has_its_own_files_alone_and_not_those_made_on_demand(prefix):
    assert files_below("results/toy/models/", TARGETS, rules(prefix), lambda path: prefix + path) == MODELS
    with pytest.raises(ConfigurationError, match=r"^results/toy/converted/: as configured, "):
        files_below("results/toy/converted/", TARGETS, rules(prefix), lambda path: prefix + path)


def test_stages_are_folders_of_the_family_s_own_and_of_shared_rules():
    outputs = [
        "results/{family,box|toy}/sequences/{seed}.npz",
        "results/toy/models/{run}.npz",
        "results/toy/models/{run}.json",
        "results/toy_box/routing/{run}.npz",
        "results/tables/toy_runs.parquet",
        "results/toy.json",
        "logs/toy/models/{run}.log",
    ]
    assert stages(outputs, "toy") == ["sequences", "models"]
    assert stages(outputs, "box") == ["sequences"]
    assert stages(outputs, "toy_box") == ["routing"]
    assert stages([f"mine/{each}" for each in outputs], "toy", "mine/results/") == ["sequences", "models"]
