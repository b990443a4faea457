"""The configuration of a toy family beside what concerns all of them; then what every family's section must refuse."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import yaml
from sections import SCALES, complete

from memorization.configuration import (
    ConfigurationError,
    check,
    export_environment,
    merged,
    named,
    seeds,
    with_defaults,
)
from memorization.families import FAMILIES
from memorization.provenance import ROOT

CONFIG, SCHEMAS = ROOT.parent / "config", ROOT.parent / "workflow/schemas"
NAMES = [family.name for family in FAMILIES]
TOY = """
toy:
  seeds: 3
  defaults: {width: 4, rate: 1.0e-3, shape: round}
  conditions:
    - {name: small, width: 2}
    - {name: medium}
  panels: [small, medium]
  title: a toy
  split: run
  figures:
    loss: {size: 2.5, loss: [0.1, null]}
"""
SCHEMA = """
$schema: "https://json-schema.org/draft/2020-12/schema"
type: object
additionalProperties: false
properties:
  toy:
    type: object
    additionalProperties: false
    complete: true
    properties:
      seeds: {$ref: "common.schema.yaml#/$defs/seeds"}
      defaults:
        type: object
        additionalProperties: false
        complete: true
        properties: &settings
          width: {$ref: "common.schema.yaml#/$defs/positive"}
          rate: {$ref: "common.schema.yaml#/$defs/rate"}
          shape: {enum: [round, square]}
      conditions:
        type: array
        minItems: 1
        items:
          type: object
          additionalProperties: false
          required: [name]
          properties:
            <<: *settings
            name: {$ref: "common.schema.yaml#/$defs/name"}
      panels: {$ref: "common.schema.yaml#/$defs/names"}
      title: {$ref: "common.schema.yaml#/$defs/title"}
      split:
        description: a number from 0, or run
        oneOf: [{$ref: "common.schema.yaml#/$defs/natural"}, {const: run}]
      figures:
        type: object
        additionalProperties: false
        complete: true
        properties:
          loss:
            type: object
            additionalProperties: false
            complete: true
            properties:
              size: {$ref: "common.schema.yaml#/$defs/size"}
              loss: {$ref: "common.schema.yaml#/$defs/log_limits"}
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """``config`` and ``schemas`` of a workflow whose one family is the toy."""
    root = tmp_path_factory.mktemp("toy")
    (root / "config/families").mkdir(parents=True)
    (root / "schemas").mkdir()
    shutil.copy(CONFIG / "config.yaml", root / "config")
    for name in ("common", "config"):
        shutil.copy(SCHEMAS / f"{name}.schema.yaml", root / "schemas")
    (root / "config/families/toy.yaml").write_text(TOY)
    (root / "schemas/toy.schema.yaml").write_text(SCHEMA)
    return {name: root / name for name in ("config", "schemas")}


@pytest.fixture
def toy(folders) -> dict:
    """A whole configuration, to be changed."""
    return with_defaults({"families": ["toy"]}, folders["config"], ["toy"])


def checked(folders, config, **options):
    check(config, folders["schemas"], ["toy"], **options)


def test_the_defaults_fill_in_what_an_overlay_does_not_say(folders):
    overlay = {"toy": {"seeds": [7], "defaults": {"width": 5}, "conditions": [{"name": "other"}]}, "gpu_share": 4}
    before = copy.deepcopy(overlay)
    config = with_defaults(overlay, folders["config"], ["toy"])
    assert overlay == before
    assert config["gpu_share"] == 4
    assert config["progress"] == yaml.safe_load((CONFIG / "config.yaml").read_text())["progress"]
    assert config["toy"]["seeds"] == [7]
    assert config["toy"]["defaults"] == {"width": 5, "rate": 1e-3, "shape": "round"}
    assert config["toy"]["conditions"] == [{"name": "other"}]  # a list is replaced
    assert config["toy"]["panels"] == ["small", "medium"]


@pytest.mark.parametrize(
    ("below", "above", "both"),
    [
        ({}, {"a": 1}, {"a": 1}),
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 3, "b": 2}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3}}}, {"a": {"b": {"c": 3, "d": 2}}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_mappings_merge_key_by_key_and_all_else_is_replaced(below, above, both):
    assert merged(below, above) == both


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c.update(toi={}),
            "toi: unknown section; allowed: device, families, first_seed, gpu_share, progress, style, toy",
        ),
        (lambda c: c.update({True: {}}), "True: unknown section"),
        (lambda c: c.pop("progress"), "progress: missing"),
        (lambda c: c["style"].pop("dpi"), "style.dpi: missing"),
        (lambda c: c.update(toy=None), "toy: None is not of type 'object'"),
        (lambda c: c["toy"].pop("panels"), "toy.panels: missing"),
        (lambda c: c["toy"]["defaults"].pop("rate"), "toy.defaults.rate: missing"),
        (lambda c: c["toy"]["figures"]["loss"].pop("size"), "toy.figures.loss.size: missing"),
        (lambda c: c["toy"]["conditions"][0].pop("name"), r"toy.conditions\[0\].name: missing"),
        (lambda c: c["toy"].update(seed=3), "toy.seed: unknown key; allowed: conditions, defaults"),
        (lambda c: c["toy"]["conditions"][1].update(lr=1), r"toy.conditions\[medium\].lr: unknown key; allowed: name,"),
        (lambda c: c.update(device="gpu"), "device: 'gpu' is not allowed; allowed: auto, cpu, cuda"),
        (
            lambda c: c["toy"]["conditions"][1].update(shape="flat"),
            r"toy.conditions\[medium\].shape: 'flat' is not allowed; allowed: round, square",
        ),
        (lambda c: c.update(families=["toy", "toi"]), "families: there is no 'toi'; allowed: toy"),
        (lambda c: c.update(families=[]), r"families: \[\]"),
        (lambda c: c["toy"].update(seeds=0), "toy.seeds: 0 is less than the minimum of 1"),
        (lambda c: c["toy"].update(seeds=[]), "toy.seeds"),
        (lambda c: c["toy"].update(seeds=3.0), r"toy.seeds: 3.0 is not of type 'integer', 'array'"),
        (lambda c: c["toy"].update(seeds=True), "toy.seeds: True is not of type 'integer'"),
        (lambda c: c["toy"].update(seeds=10**20), "toy.seeds: 1.* is greater than the maximum of 100000"),
        (
            lambda c: c["toy"]["conditions"][0].update(width=-1),
            r"toy.conditions\[small\].width: -1 is less than the minimum of 1",
        ),
        (lambda c: c["toy"]["defaults"].update(width=10**30), "toy.defaults.width: 1.* is greater than .* 1000000000"),
        (lambda c: c["toy"]["defaults"].update(width=10**400), "toy.defaults.width: 1.* is not of type 'integer'"),
        (lambda c: c["toy"]["defaults"].update(rate=10**400), "toy.defaults.rate: 1.* is not of type 'number'"),
        (lambda c: c["toy"]["defaults"].update(rate=float("inf")), "toy.defaults.rate: inf is not of type"),
        (lambda c: c["toy"]["defaults"].update(rate=float("nan")), "toy.defaults.rate: nan is not of type"),
        (
            lambda c: c["toy"]["defaults"].update(rate="1e-3"),
            "toy.defaults.rate: '1e-3' is text to YAML, not a number; write 1.0e-3 for 1e-3",
        ),
        (lambda c: c["toy"]["conditions"].append({"name": "medium"}), "toy.conditions: named twice: medium"),
        (
            lambda c: c["toy"]["conditions"][0].update(name="Medium-2"),
            r"toy.conditions\[Medium-2\].name: 'Medium-2'; allowed: small",
        ),
        (
            lambda c: c["toy"]["conditions"][0].update(name="small\n"),
            r"toy.conditions\[0\].name: 'small\\n'; allowed: small letters and digits",
        ),
        (lambda c: c["toy"].update(title="$\\foo$"), r"toy.title: '.*'; allowed: a title without \$"),
        (lambda c: c["toy"].update(split=True), "toy.split: True; allowed: a number from 0, or run"),
        (lambda c: c["toy"].update(split="no"), "toy.split: 'no'; allowed: a number from 0, or run"),
        (lambda c: c["style"].update(dpi=1e9), "style.dpi: .* is greater than the maximum of 2400"),
        (lambda c: c["style"].update(font_size=0), "style.font_size: 0 is less than or equal to"),
        (
            lambda c: c["toy"]["figures"]["loss"].update(size=1e6),
            "toy.figures.loss.size: .* is greater than the maximum of 100",
        ),
        (
            lambda c: c["toy"]["figures"]["loss"].update(loss=[3, 1]),
            r"toy.figures.loss.loss: \[3, 1\]; allowed: \[low, high\] with low below high",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(folders, toy, change, message):
    checked(folders, toy)
    change(toy)
    with pytest.raises(ConfigurationError, match=f"^{message}") as error:
        checked(folders, toy)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "text"), [("seeds", "1"), ("seeds", "[0, 1]"), ("defaults", "{width: 3}"), ("figures", "{}")]
)
def test_a_nested_value_of_config_is_text_and_the_message_says_so(folders, toy, key, text):
    toy["toy"][key] = text
    with pytest.raises(ConfigurationError, match=rf"^toy.{key}: .* is text: .* --config as text; .* --configfile$"):
        checked(folders, toy)


def test_text_that_is_no_number_either_way_is_refused_as_what_it_is(folders, toy):
    toy["toy"]["seeds"] = "three"
    with pytest.raises(ConfigurationError, match=r"^toy.seeds: 'three' is not of type 'integer', 'array'$"):
        checked(folders, toy)


def test_sections_of_another_workflow_are_left_alone_where_it_includes_this_one(folders, toy):
    toy["samples"] = ["a", "b"]
    checked(folders, toy, strict=False)
    with pytest.raises(ConfigurationError, match=r"^samples: unknown section"):
        checked(folders, toy)
    toy["toy"]["seed"] = 3  # but not what concerns this one
    with pytest.raises(ConfigurationError, match=r"^toy.seed: unknown key"):
        checked(folders, toy, strict=False)


def test_limits_may_be_open_at_either_end(folders, toy):
    for limits in ([None, None], [0.1, None], [None, 3], [0.1, 3]):
        toy["toy"]["figures"]["loss"]["loss"] = limits
        checked(folders, toy)


@pytest.mark.parametrize("scale", SCALES)
def test_the_configurations_that_stand_are_sound(scale):
    config = complete(scale)
    check(config, SCHEMAS, NAMES)
    built = {}
    for family in FAMILIES:
        built[family.name] = family(config[family.name], others=dict(built))
        built[family.name].check()


@pytest.mark.parametrize("family", NAMES)
@pytest.mark.parametrize("part", [(), ("outputs",), ("figures",)], ids=lambda part: part[0] if part else "section")
def test_every_section_refuses_an_unknown_key_and_misses_none(family, part):
    config = complete()
    place, where = config[family], family
    for key in part:
        place, where = place[key], f"{where}.{key}"
    key = next(iter(place))
    place["unknown"] = place.pop(key)
    with pytest.raises(ConfigurationError, match=rf"^{where}\.(unknown: unknown key|{key}: missing)"):
        check(config, SCHEMAS, NAMES)
    del place["unknown"]
    with pytest.raises(ConfigurationError, match=rf"^{where}\.{key}: missing$"):
        check(config, SCHEMAS, NAMES)


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
