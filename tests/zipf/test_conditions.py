import pytest
import yaml
from sections import changed

from memorization.configuration import ConfigurationError, names
from memorization.provenance import ROOT
from memorization.zipf.conditions import ZipfConditions

SECTION = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["zipf"]
CONDITIONS = ZipfConditions(SECTION)


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert CONDITIONS.condition("heads_1")["n_heads"] == 1
    assert CONDITIONS.condition("heads_1")["d_model"] == SECTION["defaults"]["d_model"]


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
    assert CONDITIONS.selection(text) == (conditions, ranks)


@pytest.mark.parametrize("scale", ["config", "smoke", "paper", "capacity"])
@pytest.mark.parametrize("ending", ["", "_low", "_mid", "_high"])
def test_every_condition_can_be_drawn_with_every_selection(scale, ending):
    overlay = yaml.safe_load((ROOT.parent / f"config/{scale}.yaml").read_text())["zipf"]
    section = SECTION | overlay | {key: SECTION[key] | overlay.get(key, {}) for key in ("defaults", "evaluation")}
    for name in names(section["models"]):
        assert ZipfConditions(section).selection(f"_{name}{ending}")[0] == [name]


def test_a_file_name_that_selects_nothing_is_refused_with_what_there_is():
    for text in ("_mediun_low", "_mediun"):
        with pytest.raises(ConfigurationError, match="there is no 'mediun'; allowed: small, medium"):
            CONDITIONS.selection(text)
    with pytest.raises(ConfigurationError, match="there is no 'medium_'"):
        CONDITIONS.selection("_medium_")


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
        (("switches", 0, "model"), "mediun", r"zipf.switches\[resample\].model: there is no 'mediun'; allowed: small"),
        (("switches", 0, "name"), "medium", r"zipf.switches\[medium\].name: a model has that name"),
        (
            ("switches", 0, "at"),
            [2100],
            r"zipf.switches\[resample\].at: \[2100\]; allowed: rising steps below steps, 2100",
        ),
        (("switches", 5, "at"), [1500, 1500], r"zipf.switches\[forget\].at: \[1500, 1500\]; allowed: rising steps"),
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
    if path == ("models", 2, "n_heads"):
        section["models"][2]["d_model"] = 80
    if path == ("models", 0, "architecture"):
        section["models"][0]["positions"] = "rope"
    with pytest.raises(ConfigurationError, match=message) as error:
        ZipfConditions(section).check()
    assert "\n" not in str(error.value)


def test_a_figure_of_switches_wants_one():
    assert CONDITIONS.shown_switches("swap") == CONDITIONS.switches
    with pytest.raises(ConfigurationError, match=r"zipf.switches: none; allowed for zipf_swap: one or more"):
        ZipfConditions(SECTION | {"switches": []}).shown_switches("swap")


def test_what_is_recorded_says_how_long_it_may_take_to_read():
    assert CONDITIONS.run_minutes("forget") == 10
    data = [entry | {"count": 10**5, "length": 100} for entry in SECTION["datasets"]]
    large = ZipfConditions(SECTION | {"datasets": data})
    assert large.run_minutes("medium") == 10 + 40 * (10**5 + 100) // 10**6
    assert large.table_minutes(["medium"]) == 10 + 3 * (40 * (10**5 + 100) + 10**5) // 10**6
    assert large.run_minutes("forget") > 4 * (large.run_minutes("medium") - 10)


def test_the_configuration_that_stands_is_sound():
    CONDITIONS.check()


def test_a_switch_goes_on_from_its_model_and_has_its_settings():
    assert CONDITIONS.settings("resample_mlp") == CONDITIONS.settings("medium") | {"freeze": "mlp"}
    assert CONDITIONS.settings("medium")["freeze"] == "none"
    assert CONDITIONS.trainings("medium") == [1500]
    assert CONDITIONS.begin("medium", 1500) is None
    assert CONDITIONS.trainings("resample") == [2100]
    assert CONDITIONS.begin("resample", 2100) == ("medium", 1500)
    assert CONDITIONS.trainings("forget") == [1900, 2300, 2700]
    begins = [CONDITIONS.begin("forget", step) for step in (1900, 2000, 2300, 2700)]
    assert begins == [("medium", 1500), ("forget", 1900), ("forget", 1900), ("forget", 2300)]
    assert CONDITIONS.checkpoint_files("forget", "4", 2300) == [
        "results/zipf/checkpoints/forget/seed4/step1900.safetensors"
    ]
    assert CONDITIONS.checkpoint_files("medium", "4", 2300) == []


def test_a_training_reads_the_sets_up_to_its_own():
    folder = "results/zipf/sequences/laptop/seed4"
    assert CONDITIONS.sequence_files("medium", "4", 700) == [f"{folder}.npz"]
    assert CONDITIONS.sequence_files("forget", "4", 1900) == [f"{folder}.npz", f"{folder}_forget1.npz"]
    assert CONDITIONS.sequence_files("forget", "4")[1:] == [f"{folder}_forget{i}.npz" for i in (1, 2, 3)]


def test_a_step_before_the_first_switch_is_its_models():
    with pytest.raises(
        ConfigurationError, match=r"zipf.switches\[resample\]: step 1500 is its model's; allowed: 1501 or more"
    ):
        CONDITIONS.begin("resample", 1500)
