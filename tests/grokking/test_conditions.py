import pytest
import yaml
from sections import changed

from memorization.configuration import ConfigurationError, names
from memorization.grokking.conditions import (
    check,
    condition,
    equations_settings,
    evaluation_settings,
    perturbed_runs,
    run_memory,
    split_seed,
    table_memory,
    training_settings,
)
from memorization.provenance import ROOT

SECTION = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())["grokking"]


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert condition(SECTION, "wd_2")["weight_decay"] == 2
    assert condition(SECTION, "wd_2")["steps"] == SECTION["defaults"]["steps"]
    assert training_settings(SECTION, "wd_2").keys() == SECTION["defaults"].keys() - {"runtime"}
    assert evaluation_settings(SECTION, "wd_0") == {"dataset": "addition", "batch_size": 512, "weight_decay": 0}


def test_the_default_is_the_source_s():
    settings = condition(SECTION, "wd_1")
    assert {name: settings[name] for name in ("n_layers", "n_heads", "d_model", "batch_size", "warmup")} == {
        "n_layers": 2, "n_heads": 4, "d_model": 128, "batch_size": 512, "warmup": 10,
    }  # fmt: skip
    assert SECTION["datasets"][0] | {"name": ""} == {
        "name": "", "p": 97, "operator": "+", "train_fraction": 0.4, "split": "pairs", "split_seed": 0,
    }  # fmt: skip
    assert {condition(SECTION, name)["weight_decay"] for name in names(SECTION["conditions"])} == {0, 1, 2}
    assert SECTION["dmd"] | {"window": 0} == {
        "method": "projected", "center_mode": "relative_to_t0", "n_delays": 32, "k_mode": 10,
        "surrogates": 20, "window": 0,
    }  # fmt: skip
    assert SECTION["fingerprint"] == {
        "source": "log_prob", "token_index": -1, "probe_size": 100, "fingerprint_seed": 42, "record_every": 2,
    }  # fmt: skip
    assert SECTION["embedding"] == {"probe_split": "val", "n_quantiles": 19}


def test_a_split_has_a_seed_of_its_own_or_the_run_s():
    assert split_seed(SECTION, "wd_0", "2") == 0
    assert split_seed(changed(SECTION, ("datasets", 0, "split_seed"), "run"), "wd_0", "2") == 2
    assert "split_seed" not in equations_settings(SECTION, "addition")


def test_every_perturbation_of_every_seed_is_a_run():
    runs = perturbed_runs(SECTION, "p/{perturbation}/{condition}/{seed}", "r/{condition}/{seed}")
    assert len(runs) == len(SECTION["perturbations"]) * SECTION["seeds"]
    assert len({run["perturbed"] for run in runs}) == len(runs)
    assert runs[0]["reference"] == "r/wd_2/0"


def test_memory_grows_with_what_is_kept():
    assert 1000 < run_memory(SECTION, "wd_0") < 2000
    assert run_memory(changed(SECTION, ("defaults", "d_model"), 1024), "wd_0") > 5000
    assert 1000 < table_memory(SECTION) < 4000
    assert table_memory(changed(SECTION, ("seeds",), 20)) > 6000


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("datasets", 0),
            {**SECTION["datasets"][0], "p": 91, "operator": "/"},
            r"datasets\[addition\].p: 91 is not prime",
        ),
        (("datasets", 0, "train_fraction"), 1e-9, r"datasets\[addition\].train_fraction: 1e-09 leaves a split empty"),
        (
            ("fingerprint", "probe_size"),
            4000,
            "fingerprint.probe_size: 4000; allowed: 1 to 3764, the smaller split of add",
        ),
        (("defaults", "dataset"), "other", r"conditions\[wd_0\].dataset: there is no 'other'; allowed: addition"),
        (("defaults", "n_heads"), 3, r"conditions\[wd_0\].d_model: 128 is not divisible by n_heads, 3"),
        (("perturbed", "conditions"), ["wd_9"], "perturbed.conditions: there is no 'wd_9'; allowed: wd_0, wd_1, wd_2"),
        (("perturbed", "steps"), 7000, "perturbed.steps: 7000; wd_2 allows 6000 or less, its steps"),
        (
            ("perturbed", "growth_window"),
            101,
            "perturbed.growth_window: 101; allowed: multiples of record_every, 2, up",
        ),
        (("perturbed", "growth_window"), 2700, "perturbed.growth_window: 2700; allowed: .* up to 2600, the steps"),
        (("perturbations", 0, "epsilon"), 0.1, r"perturbations\[round_off\].epsilon: 0.1; round_off allows 0 alone"),
        (("defaults", "min_steps"), 6001, r"conditions\[wd_0\].min_steps: 6001; allowed: 0 to 6000, its steps"),
        (("conditions", 1, "min_steps"), 2249, "dmd.window: it ends at step 2250; wd_1 allows 2248 or less"),
        (("defaults", "min_steps"), 1000, "dmd.window: it ends at step 2250; wd_0 allows 1000 or less"),
        (("dmd", "window"), [0, 2251], "dmd.window: it ends at step 2251; wd_0 allows 2250 or less"),
        (("dmd", "window"), [9, 9], r"dmd.window: \[9, 9\]; allowed: \[first, last\] with first below last"),
        (("dmd", "n_delays"), 1126, "dmd.n_delays: 1126; the 1126 snapshots of its window allow 1 to 1125"),
        (("dmd", "k_mode"), 609, "dmd.k_mode: 609; 1126 snapshots of 19 quantiles with 32 delays allow 1 to 608"),
        (("residual", "n_delays"), 100, "residual.n_delays: 100; the 100 snapshots of its stretches allow 1 to 99"),
        (("residual", "k_mode"), 85, "residual.k_mode: 85; 100 snapshots of 19 quantiles with 16 delays allow 1 to 84"),
        (("residual", "length"), 3002, "residual.length: 3002 snapshots; allowed: 2 to 1126, those of the least min_s"),
    ],
)
def test_what_cannot_go_together_is_one_line_that_names_the_key(path, value, message):
    with pytest.raises(ConfigurationError, match=rf"^grokking\.{message}") as error:
        check(changed(SECTION, path, value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["dmd", "residual"])
@pytest.mark.parametrize("path", [("embedding", "n_quantiles"), ("fingerprint", "probe_size")])
def test_a_snapshot_of_one_value_has_no_mean_to_leave_out(part, path):
    one = changed(SECTION, path, 1)
    check(one)
    with pytest.raises(ConfigurationError, match=rf"^grokking.{part}.center_mode: .* with {'.'.join(path)} of 2 or m"):
        check(changed(one, (part, "center_mode"), "per_snapshot_mean"))


@pytest.mark.parametrize("scale", ["config", "smoke", "paper"])
def test_the_configurations_that_stand_are_sound(scale):
    overlay = yaml.safe_load((ROOT.parent / f"config/{scale}.yaml").read_text())["grokking"]
    check(
        {
            key: value | overlay.get(key, {}) if isinstance(value, dict) else overlay.get(key, value)
            for key, value in SECTION.items()
        }
    )


def test_the_paper_s_scale_has_the_sources_seeds_and_every_epsilon():
    overlay = yaml.safe_load((ROOT.parent / "config/paper.yaml").read_text())["grokking"]
    assert overlay["seeds"] == [47, 48, 49, 50, 51]
    assert [each["weight_decay"] for each in overlay["conditions"]] == [0, 1, 2]
    for kind in ("relative", "multiplicative"):
        assert {each["epsilon"] for each in overlay["perturbations"] if each["kind"] == kind} | {0} == {
            0,
            1e-6,
            1e-3,
            0.1,
        }
