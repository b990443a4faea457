import pytest
from sections import changed, complete

from memorization.associative_memory.conditions import AssociativeMemory
from memorization.configuration import ConfigurationError

SECTION = complete()["associative_memory"]
MEMORY = AssociativeMemory(SECTION)


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
def test_the_configurations_that_stand_are_sound(scale):
    AssociativeMemory(complete(scale)["associative_memory"]).check()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("heads",),
            ["heads_4", "eta_1", "heads_16"],
            "heads: eta_1 and heads_16 have n_heads: 16; allowed: each another",
        ),
        (
            ("etas", 0),
            "linear_readout",
            "etas: linear_readout is a linear_readout; allowed: conditions of architecture",
        ),
        (("etas",), ["eta_1", "other"], "associative_memory.etas: they are on several data sets; allowed: conditions"),
        (
            ("conditions", 8, "n_units"),
            3,
            r"conditions\[other\].n_units: architecture associative_memory has no n_units; allowed: other keys",
        ),
        (
            ("conditions", 7, "eta"),
            3,
            r"conditions\[linear_readout\].eta: architecture linear_readout has no eta; allowed: other keys",
        ),
        (("heads", 0), "heads_9", "associative_memory.heads: there is no 'heads_9'"),
        (("etas", 0), "resample", "associative_memory.etas: there is no 'resample'"),
        (("attention", "condition"), "linear_readout", "attention.condition: linear_readout has no map B; allowed"),
        (("attention", "bits"), [4, 32], "associative_memory.attention.bits: 32; allowed: 1 to 31"),
        (("datasets", 0, "length"), 7, r"associative_memory.datasets\[matched\].length: 7 bits cannot tell 200"),
        (
            ("datasets", 0, "exponent"),
            140,
            r"datasets\[matched\].exponent: 140 .* allowed: 0 to 132.1",
        ),
        (
            ("switches", 1, "switch_steps"),
            [2750, 2500],
            r"associative_memory.switches\[forget\].switch_steps: .* rising steps",
        ),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    other = {"name": "other", "dataset": "uniform", "eta": 3}
    section = changed(SECTION | {"conditions": [*SECTION["conditions"], other]}, path, value)
    with pytest.raises(ConfigurationError, match=message) as error:
        AssociativeMemory(section).check()
    assert "\n" not in str(error.value)


def test_an_architecture_has_the_settings_that_it_uses_alone():
    assert "n_units" not in MEMORY.settings("heads_16")
    assert not {"eta", "memory_size", "epsilon"} & MEMORY.settings("linear_readout").keys()
    assert MEMORY.columns("heads_4") == {
        "condition": "heads_4", "architecture": "associative_memory", "n_heads": 4, "eta": 10, "memory_size": 4000,
    }  # fmt: skip
    assert (MEMORY.columns("linear_readout")["memory_size"], MEMORY.columns("linear_readout")["eta"]) == (0, 0)


def test_eviction_takes_as_many_steps_as_the_queue_holds_batches():
    (evictions,) = MEMORY.marks.values()
    assert evictions == {"resample": 63, "forget": 63}  # 4000 / 64
    without = AssociativeMemory(changed(SECTION, ("switches", 0, "condition"), "linear_readout"))
    assert list(without.marks.values()) == [{"forget": 63}]


def test_attention_is_that_of_the_first_seed_at_its_end():
    section = changed(SECTION, ("conditions", 2, "seeds"), [5, 6])
    figures = {figure.name: figure for figure in AssociativeMemory(section).figures}
    (checkpoint,) = figures["attention"].inputs()["checkpoint"].wildcards
    assert checkpoint == {"condition": "heads_16", "seed": 5, "step": 2500}
    assert figures["attention"].settings()["run"] == "heads_16, seed 5"
