import pytest
import yaml
from sections import changed

from memorization.associative_memory.conditions import MemoryConditions
from memorization.configuration import ConfigurationError
from memorization.provenance import ROOT
from memorization.zipf.conditions import ZipfConditions

CONFIG = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())
SECTION = CONFIG["associative_memory"]
CONDITIONS = MemoryConditions(SECTION)


@pytest.mark.parametrize("scale", ["config", "smoke", "paper"])
def test_the_configurations_that_stand_are_sound(scale):
    overlay = yaml.safe_load((ROOT.parent / f"config/{scale}.yaml").read_text())["associative_memory"]
    merged = SECTION | overlay | {key: SECTION[key] | overlay.get(key, {}) for key in ("defaults", "evaluation")}
    MemoryConditions(merged).check()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("heads",),
            ["heads_4", "eta_1", "heads_16"],
            "heads: eta_1 and heads_16 have n_heads: 16; allowed: each another",
        ),
        (("etas", 0), "linear_readout", "etas: linear_readout is a linear_readout; allowed: conditions of form: queue"),
        (("etas",), ["eta_1", "other"], "associative_memory.etas: they are on several data sets; allowed: conditions"),
        (("models", 8, "n_units"), 3, r"models\[other\].n_units: form queue has no n_units; allowed: other keys"),
        (("models", 7, "eta"), 3, r"models\[linear_readout\].eta: form linear_readout has no eta; allowed: other keys"),
        (("heads", 0), "heads_9", "associative_memory.heads: there is no 'heads_9'"),
        (("etas", 0), "resample", "associative_memory.etas: there is no 'resample'"),
        (("attention", "condition"), "linear_readout", "attention.condition: linear_readout has no map B; allowed"),
        (("attention", "bits"), [4, 32], "associative_memory.attention.bits: 32; allowed: 1 to 31"),
        (("comparison", "memory"), ["x"], "associative_memory.comparison.memory: there is no 'x'"),
        (("datasets", 0, "length"), 7, r"associative_memory.datasets\[matched\].length: 7 bits cannot tell 200"),
        (
            ("datasets", 0, "exponent"),
            140,
            r"datasets\[matched\].exponent: 140 .* allowed: 0 to 132.1",
        ),
        (("switches", 1, "at"), [2750, 2500], r"associative_memory.switches\[forget\].at: .* rising steps"),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    other = {"name": "other", "dataset": "uniform", "eta": 3}
    section = changed(SECTION | {"models": [*SECTION["models"], other]}, path, value)
    with pytest.raises(ConfigurationError, match=message) as error:
        MemoryConditions(section).check()
    assert "\n" not in str(error.value)


def test_a_comparison_is_of_other_names_on_the_same_sequences():
    zipf = ZipfConditions(CONFIG["zipf"])
    assert CONDITIONS.beside(zipf) == "matched"
    elsewhere = MemoryConditions(changed(SECTION, ("comparison", "zipf"), "medium"))
    with pytest.raises(ConfigurationError, match=r"comparison.memory: heads_4 is on other sequences than medium"):
        elsewhere.beside(zipf)
    alike = MemoryConditions(SECTION | {"comparison": {"zipf": "heads_1", "memory": ["heads_4", "heads_1"]}})
    with pytest.raises(ConfigurationError, match=r"comparison.memory: heads_1 is the model of zipf too, .* names"):
        alike.beside(zipf)


def test_a_form_has_the_settings_that_it_uses_alone():
    assert "n_units" not in CONDITIONS.settings("heads_16")
    assert not {"eta", "memory_size", "epsilon"} & CONDITIONS.settings("linear_readout").keys()
    assert CONDITIONS.told("heads_4") == {
        "condition": "heads_4", "model": "associative_memory", "n_heads": 4, "eta": 10, "memory_size": 4000,
    }  # fmt: skip
    assert CONDITIONS.told("linear_readout")["memory_size"] == 0


def test_eviction_takes_as_many_steps_as_the_queue_holds_batches():
    assert CONDITIONS.evictions == {"resample": 63, "forget": 63}  # 4000 / 64
    assert MemoryConditions(changed(SECTION, ("switches", 0, "model"), "linear_readout")).evictions == {"forget": 63}
