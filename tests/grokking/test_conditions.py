import numpy as np
import pytest
from sections import changed, complete

from memorization.configuration import ConfigurationError
from memorization.grokking.conditions import Grokking
from memorization.grokking.task.model import build
from memorization.models.shape import decoder_flops

SECTION = complete()["grokking"]
GROKKING = Grokking(SECTION)


def test_a_condition_has_the_defaults_for_what_it_does_not_say():
    assert GROKKING.condition("wd_2")["weight_decay"] == 2
    assert GROKKING.condition("wd_2")["steps"] == SECTION["defaults"]["steps"]
    assert GROKKING.settings("wd_2").keys() == SECTION["defaults"].keys() - {"mem_mb", "runtime"}
    assert GROKKING.evaluation("wd_0") == {"dataset": "addition", "batch_size": 512, "weight_decay": 0}


def test_the_default_is_the_source_s():
    settings = GROKKING.condition("wd_1")
    assert {name: settings[name] for name in ("n_layers", "n_heads", "d_model", "batch_size", "warmup")} == {
        "n_layers": 2, "n_heads": 4, "d_model": 128, "batch_size": 512, "warmup": 10,
    }  # fmt: skip
    assert SECTION["datasets"][0] | {"name": ""} == {
        "name": "", "p": 97, "operator": "+", "train_fraction": 0.4, "split": "pairs", "split_seed": 0,
    }  # fmt: skip
    assert {GROKKING.condition(name)["weight_decay"] for name in GROKKING.names} == {0, 1, 2}
    assert SECTION["dmd"] | {"window": 0} == {
        "method": "projected", "center_mode": "relative_to_t0", "n_delays": 32, "k_mode": 10,
        "surrogates": 20, "window": 0,
    }  # fmt: skip
    assert SECTION["fingerprint"] == {
        "source": "log_prob", "token_index": -1, "probe_size": 100, "fingerprint_seed": 42, "record_every": 2,
    }  # fmt: skip
    assert SECTION["embedding"] == {"probe_split": "val", "n_quantiles": 19}


def test_a_split_has_a_seed_of_its_own_or_the_run_s():
    assert GROKKING.split("wd_0", "2") == {"dataset": "addition", "seed": 0}
    of_runs = Grokking(changed(SECTION, ("datasets", 0, "split_seed"), "run"))
    assert of_runs.split("wd_0", "2") == {"dataset": "addition", "seed": 2}
    assert "split_seed" not in GROKKING.equations("addition")


def test_every_perturbation_of_every_seed_is_a_run_beside_its_reference():
    runs = [tuple(run.values()) for run in GROKKING.perturbed_runs]
    assert runs == [("wd_2", seed, each) for each in ("round_off", "relative_tenth") for seed in (0, 1, 2)]
    table = {each.name: each for each in GROKKING.tables}["perturbation"]
    patterns = {"grokking": {"perturbed": "p/{perturbation}/{condition}/{seed}", "trajectory": "r/{condition}/{seed}"}}
    paths = {name: files.paths(patterns, "grokking") for name, files in table.inputs().items()}
    assert len(set(paths["perturbed"])) == len(runs)
    assert paths["perturbed"][0] == "p/round_off/wd_2/0"
    assert paths["references"] == [f"r/wd_2/{seed}" for seed in (0, 1, 2)] * 2
    assert [run["perturbation"]["name"] for run in table.settings()["runs"]] == [name for *_, name in runs]


def test_a_perturbed_condition_s_own_seeds_are_perturbed():
    fewer = Grokking(changed(SECTION, ("conditions", 2, "seeds"), [4]))
    assert {run["seed"] for run in fewer.perturbed_runs} == {4}


def with_recorded(folder, name="mine", every=2, count=1126, **change):
    """The family with a condition from elsewhere, of two files whose snapshots reach to the end of the window."""
    paths = [str(folder / f"{name}_{n}.npy") for n in range(2)]
    for n, path in enumerate(paths):
        np.save(path, np.random.default_rng(n).standard_normal((count, 4)))
    entry = {"name": name, "fingerprints": paths, "record_every": every} | change
    return Grokking(changed(SECTION, ("recorded",), [entry])), paths


def test_a_condition_from_elsewhere_is_compared_and_neither_trained_nor_evaluated(tmp_path):
    family, paths = with_recorded(tmp_path)
    family.check()
    assert family.names == GROKKING.names
    assert family.compared == [*GROKKING.names, "mine"]
    assert family.seeds("mine") == [0, 1]
    run = family.recorded_run("mine", "1")
    assert run == {"path": paths[1], "record_every": 2, "contents": {paths[1]: run["contents"][paths[1]]}}
    assert run["contents"] != family.recorded_run("mine", "0")["contents"]
    of = {}
    for each in [*family.tables, *family.figures]:
        for kind, files in each.inputs().items():
            of[each.name, kind] = {run.get("condition") for run in files.wildcards}
    shown = {key for key, conditions in of.items() if "mine" in conditions}
    assert shown == {
        ("runs", "spectra"), ("runs", "residuals"), ("distances", "spectra"), ("spectrum", "spectra"),
        ("fingerprint", "trajectories"), ("residual", "residuals"),
    }  # fmt: skip
    settings = {each.name: each.settings() for each in [*family.tables, *family.figures]}
    assert settings["distances"]["conditions"] == settings["residual"]["conditions"] == family.compared
    assert settings["accuracy"]["conditions"] == settings["perturbation"]["conditions"] == GROKKING.names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "wd_1"}, ": wd_1 is a condition too; names must differ"),
        ({"every": 10}, "[mine].fingerprints: {folder}/mine_0.npy: a snapshot every 10 steps, from step 0 on; allowed"),
        ({"count": 1125}, "[mine].fingerprints: {folder}/mine_0.npy: snapshots of steps 0 to 2248; allowed: those of"),
        ({"fingerprints": ["no.npy"]}, "[mine].fingerprints: no.npy: there is no such file"),
    ],
)
def test_fingerprints_that_cannot_be_compared_are_one_line(tmp_path, change, message):
    family, _ = with_recorded(tmp_path, **change)
    with pytest.raises(ConfigurationError) as error:
        family.check()
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"grokking.recorded{message}".format(folder=tmp_path))


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
def test_every_condition_s_model_has_as_many_parameters_as_its_size_says(scale):
    grokking = Grokking(complete(scale)["grokking"])
    for name in grokking.names:
        model = build(grokking.condition(name), grokking.dataset(name)["p"])
        assert grokking.training_size(name)["parameters"] == sum(each.numel() for each in model.parameters()), name


def test_a_condition_s_trainings_are_its_runs_and_those_that_are_perturbed():
    plain, perturbed = GROKKING.training_size("wd_1"), GROKKING.training_size("wd_2")
    assert (plain["jobs"], perturbed["jobs"]) == (3, 5 + 2 * 3)  # wd_2 has five seeds, of which three are perturbed
    assert plain["steps"] == perturbed["steps"] == 6000
    # a batch there and back, all equations every 100 steps, the probes of 2 · 100 equations every 2
    step = 3 * 512 + 97**2 / 100 + 2 * 100 / 2
    forward = decoder_flops(n_outputs=100, length=5, n_layers=2, d_model=128)
    assert plain["flops"] == pytest.approx(3 * 6000 * step * forward)
    assert perturbed["flops"] == pytest.approx((5 * 6000 + 6 * 2600) * step * forward)


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
        Grokking(changed(SECTION, path, value)).check()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("part", ["dmd", "residual"])
@pytest.mark.parametrize("path", [("embedding", "n_quantiles"), ("fingerprint", "probe_size")])
def test_a_snapshot_of_one_value_has_no_mean_to_leave_out(part, path):
    one = changed(SECTION, path, 1)
    Grokking(one).check()
    with pytest.raises(ConfigurationError, match=rf"^grokking.{part}.center_mode: .* with {'.'.join(path)} of 2 or m"):
        Grokking(changed(one, (part, "center_mode"), "per_snapshot_mean")).check()


@pytest.mark.parametrize("scale", [None, "smoke", "paper"])
def test_the_configurations_that_stand_are_sound(scale):
    Grokking(complete(scale)["grokking"]).check()


def test_the_paper_s_scale_has_the_sources_seeds_and_every_epsilon():
    section = complete("paper")["grokking"]
    assert section["seeds"] == [47, 48, 49, 50, 51]
    assert [each["weight_decay"] for each in section["conditions"]] == [0, 1, 2]
    for kind in ("relative", "multiplicative"):
        epsilons = {each["epsilon"] for each in section["perturbations"] if each["kind"] == kind}
        assert epsilons | {0} == {0, 1e-6, 1e-3, 0.1}
