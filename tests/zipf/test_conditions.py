import copy

import pytest
import yaml

from memorization.configuration import ConfigurationError, names
from memorization.provenance import ROOT
from memorization.zipf.conditions import check, condition, selection

SECTION = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["zipf"]


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert condition(SECTION, "heads_1")["n_heads"] == 1
    assert condition(SECTION, "heads_1")["d_model"] == SECTION["defaults"]["d_model"]


@pytest.mark.parametrize(
    ("text", "conditions", "ranks"),
    [
        ("", SECTION["panels"], SECTION["ranks"]),
        ("_low", SECTION["panels"], list(range(10))),
        ("_medium", ["medium"], SECTION["ranks"]),
        ("_large_rope_mid", ["large_rope"], list(range(30, 40))),
        ("_small_high", ["small"], list(range(60, 70))),
    ],
)
def test_file_names_select_conditions_and_ranks(text, conditions, ranks):
    assert selection(SECTION, text) == (conditions, ranks)


@pytest.mark.parametrize("scale", ["config", "smoke", "paper", "capacity"])
@pytest.mark.parametrize("ending", ["", "_low", "_mid", "_high"])
def test_every_condition_can_be_drawn_with_every_selection(scale, ending):
    overlay = yaml.safe_load((ROOT.parent / f"config/{scale}.yaml").read_text())["zipf"]
    section = SECTION | overlay | {key: SECTION[key] | overlay.get(key, {}) for key in ("defaults", "evaluation")}
    for name in names(section["models"]):
        assert selection(section, f"_{name}{ending}")[0] == [name]


def test_a_file_name_that_selects_nothing_is_refused_with_what_there_is():
    for text in ("_mediun_low", "_mediun"):
        with pytest.raises(ConfigurationError, match="there is no 'mediun'; allowed: small, medium"):
            selection(SECTION, text)
    with pytest.raises(ConfigurationError, match="there is no 'medium_'"):
        selection(SECTION, "_medium_")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("datasets", 0, "length"), 7, r"zipf.datasets\[laptop\].length: 7 bits cannot tell 256 .* allowed: 8 or more"),
        (("models", 0, "d_model"), 30, r"zipf.models\[small\].d_model: 30 is not divisible by n_heads, 4"),
        (("defaults", "d_model"), 60, r"zipf.models\[medium\].d_model: 60 is not divisible by n_heads, 8"),
        (("models", 2, "n_heads"), 16, r"zipf.models\[large_rope\].positions: rope needs an even"),
        (
            ("models", 0, "dataset"),
            "other",
            r"zipf.models\[small\].dataset: there is no 'other'; allowed: laptop, matched",
        ),
        (("models", 0, "name"), "very_low", r"zipf.models\[very_low\].name: the endings low, mid, high are taken"),
        (("models", 0, "architecture"), "one_layer_attention", r"zipf.models\[small\]: .* positions: learned"),
        (("panels", 0), "tiny", "zipf.panels: there is no 'tiny'"),
        (
            ("comparisons", 1, "conditions", 0),
            "heads_9",
            r"zipf.comparisons\[heads\].conditions: there is no 'heads_9'",
        ),
        (("ranks", 0), 256, "zipf.ranks: rank 256; allowed: ranks 0 to 255"),
        (
            ("evaluation", "train_stride"),
            7,
            "zipf.ranks: rank 100 is recorded at the end alone; allowed: .* multiples of .* 7",
        ),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    section = copy.deepcopy(SECTION)
    place = section
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    if path == ("models", 2, "n_heads"):
        section["models"][2]["d_model"] = 80
    if path == ("models", 0, "architecture"):
        section["models"][0]["positions"] = "rope"
    with pytest.raises(ConfigurationError, match=message) as error:
        check(section)
    assert "\n" not in str(error.value)


def test_the_configuration_that_stands_is_sound():
    check(SECTION)
