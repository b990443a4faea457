import pytest
from sections import SCALES, changed, complete

from memorization.configuration import ConfigurationError
from memorization.zipf.conditions import Zipf

SECTION = complete()["zipf"]
ZIPF = Zipf(SECTION)


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert ZIPF.condition("heads_1")["n_heads"] == 1
    assert ZIPF.condition("heads_1")["d_model"] == SECTION["defaults"]["d_model"]


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
    assert ZIPF.selection(text) == (conditions, ranks)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("ending", ["", "_low", "_mid", "_high"])
def test_every_condition_can_be_drawn_with_every_selection(scale, ending):
    zipf = Zipf(complete(scale)["zipf"])
    for name in zipf.first_set:
        assert zipf.selection(f"_{name}{ending}")[0] == [name]


def test_a_file_name_that_selects_nothing_is_refused_with_what_there_is():
    for text in ("_mediun_low", "_mediun"):
        with pytest.raises(ConfigurationError, match="there is no 'mediun'; allowed: small, medium"):
            ZIPF.selection(text)
    with pytest.raises(ConfigurationError, match="there is no 'medium_'"):
        ZIPF.selection("_medium_")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("datasets", 0, "length"), 7, r"zipf.datasets\[laptop\].length: 7 bits cannot tell 256 .* allowed: 8 or more"),
        (
            ("datasets", 0, "exponent"),
            400,
            r"zipf.datasets\[laptop\].exponent: 400 makes the rarest of 256 .* allowed: 0 to 126.2",
        ),
        (("datasets", 1, "exponent"), float("nan"), r"zipf.datasets\[matched\].exponent: nan .* allowed: 0 to 132.1"),
        (("conditions", 0, "d_model"), 30, r"zipf.conditions\[small\].d_model: 30 is not divisible by n_heads, 4"),
        (("defaults", "d_model"), 60, r"zipf.conditions\[medium\].d_model: 60 is not divisible by n_heads, 8"),
        (("conditions", 2, "n_heads"), 16, r"zipf.conditions\[large_rope\].positions: rope needs an even"),
        (
            ("conditions", 0, "dataset"),
            "other",
            r"zipf.conditions\[small\].dataset: there is no 'other'; allowed: laptop, matched",
        ),
        (
            ("conditions", 0, "name"),
            "very_low",
            r"zipf.conditions\[very_low\].name: the endings low, mid, high are taken",
        ),
        (("conditions", 0, "architecture"), "one_layer_attention", r"zipf.conditions\[small\]: .* positions: learned"),
        (("panels", 0), "tiny", "zipf.panels: there is no 'tiny'"),
        (
            ("comparisons", 1, "conditions", 0),
            "heads_9",
            r"zipf.comparisons\[heads\].conditions: there is no 'heads_9'",
        ),
        (
            ("switches", 0, "condition"),
            "mediun",
            r"zipf.switches\[resample\].condition: there is no 'mediun'; allowed: small",
        ),
        (("switches", 0, "name"), "medium", r"zipf.switches\[medium\].name: a condition has that name"),
        (
            ("switches", 0, "switch_steps"),
            [2100],
            r"zipf.switches\[resample\].switch_steps: \[2100\]; allowed: rising steps below steps, 2100",
        ),
        (
            ("switches", 5, "switch_steps"),
            [1500, 1500],
            r"zipf.switches\[forget\].switch_steps: \[1500, 1500\]; allowed: rising steps",
        ),
        (
            ("datasets", 0, "length"),
            9,
            r"zipf.datasets\[laptop\].length: 9 bits cannot tell 1024 sequences in 4 sets of zipf.switches\[forget\]",
        ),
        (("panels", 0), "resample", "zipf.panels: there is no 'resample'"),
        (("ranks", 0), 256, "zipf.ranks: rank 256; allowed: ranks 0 to 255"),
        (
            ("evaluation", "train_stride"),
            7,
            "zipf.ranks: rank 100 is recorded at the end alone; allowed: .* multiples of .* 7",
        ),
        (
            ("evaluation", "train_stride"),
            50,
            r"zipf.evaluation.train_stride: 50 .* zipf.switches\[forget\], .* allowed: below 256, no multiple of 50",
        ),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    section = changed(SECTION, path, value)
    if path == ("conditions", 2, "n_heads"):
        section["conditions"][2]["d_model"] = 80
    if path == ("conditions", 0, "architecture"):
        section["conditions"][0]["positions"] = "rope"
    with pytest.raises(ConfigurationError, match=message) as error:
        Zipf(section).check()
    assert "\n" not in str(error.value)


def test_a_figure_of_switches_wants_one():
    assert ZIPF.shown_switches("swap") == ZIPF.switches
    with pytest.raises(ConfigurationError, match=r"zipf.switches: none; allowed for zipf_swap: one or more"):
        Zipf(SECTION | {"switches": []}).shown_switches("swap")


def test_the_configuration_that_stands_is_sound():
    ZIPF.check()


def test_a_switch_goes_on_from_its_condition_and_has_its_settings():
    assert ZIPF.settings("resample_mlp") == ZIPF.settings("medium") | {"freeze": "mlp"}
    assert ZIPF.settings("medium")["freeze"] == "none"
    assert ZIPF.trainings("medium") == [1500]
    assert ZIPF.trained_before("medium", 1500) == []
    assert ZIPF.trainings("resample") == [2100]
    assert ZIPF.trained_before("resample", 2100) == [{"condition": "medium", "step": 1500}]
    assert ZIPF.trainings("forget") == [1900, 2300, 2700]
    before = [ZIPF.trained_before("forget", step) for step in (1900, 2000, 2300, 2700)]
    assert [(each["condition"], each["step"]) for (each,) in before] == [
        ("medium", 1500), ("forget", 1900), ("forget", 1900), ("forget", 2300),
    ]  # fmt: skip


def test_a_training_reads_the_sets_up_to_its_own():
    def sets(*arguments):
        return [(each["dataset"], each["ending"]) for each in ZIPF.sets(*arguments)]

    assert sets("medium", 700) == [("laptop", "")]
    assert sets("forget", 1900) == [("laptop", ""), ("laptop", "_forget1")]
    assert sets("forget") == [("laptop", ""), *(("laptop", f"_forget{i}") for i in (1, 2, 3))]


def test_a_step_before_the_first_switch_is_its_condition_s():
    for ask in (ZIPF.trained_before, ZIPF.sets):
        with pytest.raises(
            ConfigurationError, match=r"zipf.switches\[resample\]: step 1500 is that of medium; allowed: 1501 or more"
        ):
            ask("resample", 1500)


def test_a_switch_has_seeds_that_its_condition_has():
    fewer = changed(SECTION, ("switches", 0, "seeds"), [0, 2])
    Zipf(fewer).check()
    assert Zipf(fewer).seeds("resample") == [0, 2]
    other = changed(SECTION, ("switches", 0, "seeds"), [1, 7])
    with pytest.raises(ConfigurationError, match=r"^zipf.switches\[resample\].seeds: 7; allowed: .* medium, 0, 1, 2, "):
        Zipf(other).check()


def test_the_arm_is_what_kind_of_model_a_condition_is():
    assert {ZIPF.arm(name) for name in ("medium", "forget", "rope")} == {"transformer"}
    assert ZIPF.arm("one_layer") == "one_layer_attention"


def test_targets_leave_out_what_wants_a_switch_where_there_is_none():
    without = Zipf(SECTION | {"switches": []})
    assert {figure.name for figure in ZIPF.figures if figure.is_target} == {
        "loss", "accuracy", "switch", "comparison", "swap",
    }  # fmt: skip
    assert {figure.name for figure in without.figures if figure.is_target} == {"loss", "accuracy", "comparison"}
    assert ZIPF.tables[0].files == ("by_sequence", "summary", "records", "runs", "swap")
    assert without.tables[0].files == ("by_sequence", "summary", "records", "runs")


def test_figures_read_the_runs_that_they_show():
    figures = {figure.name: figure for figure in ZIPF.figures}
    assert figures["loss"].inputs("_small_low")["runs"] == ZIPF.runs("by_sequence", ["small"])
    assert figures["loss"].settings("_small_low") == {
        "measure": "loss", "conditions": ["small"], "ranks": list(range(10)),
    }  # fmt: skip
    switched = {each["condition"] for each in figures["switch"].inputs()["runs"].wildcards}
    assert switched == {"medium", "medium_constant", *ZIPF.switches}
    assert figures["swap"].inputs()["runs"] == ZIPF.runs("swap", ZIPF.switches)
    compared = {each["condition"] for each in figures["comparison"].inputs()["runs"].wildcards}
    assert compared == {name for each in SECTION["comparisons"] for name in each["conditions"]}
