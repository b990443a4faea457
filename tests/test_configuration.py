import copy
import os

import pytest
import yaml

from memorization.configuration import (
    ConfigurationError,
    check,
    check_plotting,
    export_environment,
    figure_settings,
    named,
    seeds,
)
from memorization.provenance import ROOT

BASE = yaml.safe_load((ROOT.parent / "config/config.yaml").read_text())
SCHEMAS = str(ROOT.parent / "workflow/schemas")


def changed(change):
    config = copy.deepcopy(BASE)
    change(config)
    return config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(zipff={}), "zipff: unknown section; allowed: associative_memory, .*progress, zipf"),
        (lambda c: c.pop("plotting"), "plotting: section missing"),
        (lambda c: c.update(device="gpu"), "device: 'gpu' is not allowed; allowed: auto, cpu, cuda"),
        (lambda c: c["zipf"].update(seed=3), "zipf.seed: unknown key; allowed: comparisons, datasets"),
        (lambda c: c["zipf"].pop("ranks"), "zipf.ranks: missing"),
        (lambda c: c["zipf"].update(seeds=0), "zipf.seeds: 0 is less than the minimum of 1"),
        (lambda c: c["zipf"].update(seeds=[]), "zipf.seeds"),
        (
            lambda c: c["zipf"]["datasets"][0].update(count=-1),
            r"zipf.datasets\[laptop\].count: -1 is less than .* of 1",
        ),
        (lambda c: c["zipf"]["datasets"][0].update(exponent=-0.5), r"zipf.datasets\[laptop\].exponent: -0.5 is less"),
        (lambda c: c["zipf"]["models"][1].update(lr=1), r"zipf.models\[medium\].lr: unknown key; allowed: arch"),
        (
            lambda c: c["zipf"]["models"][1].update(positions="absolute"),
            r"zipf.models\[medium\].positions: 'absolute' is not allowed; allowed: learned, rope, sinusoidal, none",
        ),
        (
            lambda c: c["zipf"]["defaults"].update(learning_rate="1e-3"),
            "zipf.defaults.learning_rate: '1e-3' is text to YAML, not a number; write 1.0e-3 for 1e-3",
        ),
        (lambda c: c["zipf"]["models"].append({"name": "medium"}), "zipf.models: named twice: medium"),
        (
            lambda c: c["zipf"]["models"][0].update(name="Medium-2"),
            r"models\[Medium-2\].name: 'Medium-2'; allowed: small",
        ),
        (
            lambda c: c["zipf"]["models"][0].update(name="small\n"),
            r"name: 'small\\n'; allowed: small letters and digits",
        ),
        (lambda c: c["zipf"]["comparisons"][0].update(name="$\\foo$"), r"name: '.*'; allowed: a title without \$"),
        (lambda c: c["grokking"]["datasets"][0].update(split_seed=True), "split_seed: True; allowed: a number from 0"),
        (lambda c: c["grokking"]["datasets"][0].update(split_seed="no"), "split_seed: 'no'; allowed: a number from 0"),
        (lambda c: c["zipf"]["defaults"].update(learning_rate=10**400), "learning_rate: 1.* is not of type 'number'"),
        (lambda c: c["zipf"].update(seeds=10**20), "zipf.seeds: 1.* is greater than the maximum of 100000"),
        (
            lambda c: c["associative_memory"]["defaults"].update(batch_size=10**30),
            "associative_memory.defaults.batch_size: 1.* is greater than the maximum of 1000000000",
        ),
        (
            lambda c: c["associative_memory"]["defaults"].update(batch_size=10**400),
            "associative_memory.defaults.batch_size: 1.* is not of type 'integer'",
        ),
        (
            lambda c: c["plotting"]["style"].update(dpi=1e9),
            "plotting.style.dpi: .* is greater than the maximum of 2400",
        ),
        (
            lambda c: c["plotting"]["zipf_swap"].update(panel_width=1e6),
            "plotting.zipf_swap.panel_width: .* is greater than the maximum of 100",
        ),
        (lambda c: c["plotting"]["style"].update(font_size=0), "plotting.style.font_size: 0 is less than or equal to"),
        (lambda c: c["zipf"].update(seeds=3.0), "zipf.seeds: 3.0 is not of type 'integer'"),
        (lambda c: c["zipf"].update(seeds=True), "zipf.seeds: True is not of type 'integer'"),
        (lambda c: c["zipf"]["defaults"].update(init_std=float("inf")), "zipf.defaults.init_std: inf is not of type"),
        (
            lambda c: c["zipf"]["datasets"][0].update(exponent=float("nan")),
            r"zipf.datasets\[laptop\].exponent: nan is not",
        ),
        (lambda c: c["zipf"].update(comparisons=[]), "zipf.comparisons"),
        (lambda c: c.update({True: {}}), "True: unknown section"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(change, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        check(changed(change), SCHEMAS, cross_checks={})
    assert "\n" not in str(error.value)


def test_limits_of_axes_must_rise():
    check_plotting(BASE["plotting"])
    config = changed(lambda c: c["plotting"]["zipf_curves"].update(loss=[3, 1]))
    with pytest.raises(
        ConfigurationError, match=r"plotting.zipf_curves.loss: \[3, 1\]; allowed: \[low, high\] with low"
    ):
        check_plotting(config["plotting"])


def test_a_figure_is_given_the_style_and_its_own_keys():
    settings = figure_settings(BASE["plotting"], "zipf_comparison")
    assert settings.keys() == BASE["plotting"]["style"].keys() | BASE["plotting"]["zipf_comparison"].keys()


def test_the_configuration_that_stands_is_sound():
    check(BASE, SCHEMAS, cross_checks={})


def test_seeds_are_counted_or_listed():
    assert seeds({"seeds": 3}) == [0, 1, 2]
    assert seeds({"seeds": [47, 48]}) == [47, 48]


def test_an_absent_name_is_refused_with_what_there_is():
    with pytest.raises(ConfigurationError, match=r"some\.where: there is no 'c'; allowed: a, b"):
        named([{"name": "a"}, {"name": "b"}], "c", "some.where")


def test_jobs_find_the_package_and_compute_with_one_thread_that_keeps_its_memory(monkeypatch):
    environment = {"MKL_NUM_THREADS": "3"}
    monkeypatch.setattr(os, "environ", environment)
    export_environment("/somewhere")
    assert environment["PYTHONPATH"] == "/somewhere/src"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["MKL_NUM_THREADS"] == "3"  # what a user has set stays
    assert int(environment["MALLOC_TRIM_THRESHOLD_"]) == int(environment["MALLOC_MMAP_THRESHOLD_"]) == 10**9
