"""Which conditions stand side by side, of two toy families."""

import pytest
from sections import complete

from memorization.atlas.conditions import Atlas
from memorization.configuration import ConfigurationError
from memorization.families import FAMILIES
from memorization.family import Family, Files

DATA = [{"name": "same", "count": 8}, {"name": "other", "count": 9}]


class Empty(Family):
    name = "empty"


class One(Family):
    name = "one"

    @property
    def tables(self):
        return [self.pooled("records", "runs")]


class Two(One):
    name = "two"

    @property
    def names(self):
        return [*super().names, "switched"]


def families():
    section = {"datasets": DATA, "defaults": {"dataset": "same"}, "seeds": 2}
    first = One(section | {"conditions": [{"name": "small"}, {"name": "large", "dataset": "other"}]})
    second = Two(section | {"conditions": [{"name": "small"}, {"name": "medium", "seeds": [5]}]})
    return {"one": first, "two": second, "empty": Empty({})}


def atlas(*compared):
    entries = [{"family": family, "condition": condition} for family, condition in compared]
    return Atlas({"comparison": entries, "exposure": entries}, others=families())


def figure(of, name="comparison"):
    return next(each for each in of.figures if each.name == name)


def inputs(*compared):
    return figure(atlas(*compared)).inputs()


def test_the_comparison_reads_the_records_of_each_family_s_runs():
    read = inputs(("two", "medium"), ("one", "small"), ("two", "small"))
    assert read == {
        "one_records": Files("records", [{"condition": "small", "seed": seed} for seed in (0, 1)], "one"),
        "two_records": Files(
            "records",
            [{"condition": "medium", "seed": 5}, *({"condition": "small", "seed": seed} for seed in (0, 1))],
            "two",
        ),
    }
    patterns = {"one": {"records": "1/{condition}/{seed}"}, "two": {"records": "2/{condition}/{seed}"}}
    assert read["two_records"].paths(patterns, "atlas") == ["2/medium/5", "2/small/0", "2/small/1"]


def test_the_legend_has_the_order_of_the_configuration():
    assert figure(atlas(("two", "medium"), ("one", "small"))).settings() == {
        "conditions": [["two", "medium"], ["one", "small"]]
    }


def test_a_family_that_is_not_there_is_refused_at_once():
    with pytest.raises(
        ConfigurationError, match=r"^atlas\.comparison: there is no family 'three'; allowed: one, two, empty$"
    ):
        atlas(("one", "small"), ("three", "small")).check()


@pytest.mark.parametrize(
    ("compared", "message"),
    [
        ([("one", "small"), ("two", "large")], r"there is no 'large' in two; allowed: small, medium$"),
        ([("one", "small"), ("two", "switched")], r"there is no 'switched' in two; allowed: small, medium$"),
        (
            [("one", "small"), ("one", "large")],
            r"large of one is on other data than small of one; .*count: 8}",
        ),
        (
            [("two", "small"), ("one", "large")],
            r"large of one is on other data than small of two; .*count: 8}",
        ),
    ],
)
def test_what_cannot_stand_side_by_side_is_refused_when_the_figure_is_asked_for(compared, message):
    """Not before: an overlay for another family alone may not have these conditions."""
    atlas(*compared).check()
    with pytest.raises(ConfigurationError, match=rf"^atlas\.comparison: {message}") as error:
        inputs(*compared)
    assert "\n" not in str(error.value)


def test_curves_may_be_of_conditions_on_different_data():
    read = figure(atlas(("one", "small"), ("one", "large")), "exposure").inputs()
    assert len(read["one_records"].wildcards) == 4
    with pytest.raises(
        ConfigurationError, match=r"^atlas\.exposure: there is no 'tiny' in one; allowed: small, large$"
    ):
        figure(atlas(("one", "tiny")), "exposure").inputs()


def test_the_summary_reads_the_tables_that_all_families_write():
    table = next(each for each in atlas(("one", "small")).tables if each.name == "summary")
    names = {f"{family}_{kind}" for family in ("one", "two") for kind in ("records", "runs")}
    assert {*table.inputs()} == names | {"exposure"}


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
def test_the_comparisons_that_stand_can_be_drawn(scale):
    config, built = complete(scale), {}
    for kind in FAMILIES:
        built[kind.name] = kind(config[kind.name], others=dict(built))
    assert {*figure(built["atlas"]).inputs()} == {f"{each['family']}_records" for each in config["atlas"]["comparison"]}
    for name in ("exposure", "timing"):
        read = {f"{each['family']}_records" for each in config["atlas"]["exposure"]}
        assert {*figure(built["atlas"], name).inputs()} == read | {"exposure"}
