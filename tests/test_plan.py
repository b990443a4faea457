import os
import subprocess

import pytest

from memorization.plan import VARIABLE, CodeChanged, check_planned_code, export_plan, planned_configuration

CONFIG = {"toy": {"seeds": 3}}
RULES = {"toy_train": "toy 1", "toy_draw": "toy 1", "other_train": "other 1", "sample": "all 1"}
CODE = {
    "toy_train": "aaaaaaaaaaaa",
    "toy_draw": "bbbbbbbbbbbb",
    "other_train": "cccccccccccc",
    "sample": "dddddddddddd",
}


@pytest.fixture(autouse=True)
def not_planned(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")  # monkeypatch puts back what stood there, whatever a test exports
    monkeypatch.delenv(VARIABLE)


def test_code_as_it_was_planned_may_run():
    export_plan(CONFIG, RULES, CODE)
    export_plan(CONFIG, RULES, CODE, is_first=False)
    for rule, code in CODE.items():
        check_planned_code(rule, code)


def test_code_that_was_edited_is_refused_in_one_line():
    export_plan(CONFIG, RULES, CODE)
    with pytest.raises(
        CodeChanged,
        match=r"^toy_train: its code was edited .*aaaaaaaaaaaa, now bbbbbbbbbbbb.*run the same command again$",
    ):
        check_planned_code("toy_train", "bbbbbbbbbbbb")


def test_an_edit_of_one_family_s_rules_stops_its_jobs_and_leaves_the_others_alone():
    export_plan(CONFIG, RULES, CODE)
    edited = RULES | {"toy_train": "toy 2", "toy_draw": "toy 2", "sample": "all 2"}
    export_plan(CONFIG, edited, CODE, is_first=False)
    check_planned_code("other_train", CODE["other_train"])
    for rule in ("toy_train", "toy_draw", "sample"):
        with pytest.raises(CodeChanged, match=rf"^{rule}: its rules, or what they import, were edited .*run the same"):
            check_planned_code(rule, CODE[rule])


def test_a_rule_that_an_edit_adds_was_not_planned():
    export_plan(CONFIG, RULES, CODE)
    more = {"toy_test": "toy 1"}
    export_plan(CONFIG, RULES | more, CODE | {"toy_test": "eeeeeeeeeeee"}, is_first=False)
    with pytest.raises(CodeChanged, match=r"^toy_test: this job does not know with which code it was planned"):
        check_planned_code("toy_test", "eeeeeeeeeeee")


def test_a_job_keeps_the_plan_of_the_process_that_made_it():
    export_plan(CONFIG, RULES, CODE)
    edited, other = {"toy": {"seeds": 4}}, CODE | {"toy_train": "eeeeeeeeeeee"}
    export_plan(edited, RULES, other, is_first=False)
    check_planned_code("toy_train", "aaaaaaaaaaaa")
    assert planned_configuration(edited, "", is_first=False) == CONFIG
    assert planned_configuration(edited, "", is_first=True) == edited
    export_plan(edited, RULES, other)
    check_planned_code("toy_train", "eeeeeeeeeeee")
    assert planned_configuration(CONFIG, "", is_first=False) == edited


def test_a_run_that_is_started_in_a_job_of_another_has_a_plan_of_its_own():
    export_plan(CONFIG, RULES, CODE)
    edited = RULES | {"toy_train": "toy 2"}
    export_plan(CONFIG, edited, CODE, is_first=False)
    export_plan(CONFIG, edited, CODE)
    check_planned_code("toy_train", CODE["toy_train"])


def test_each_module_of_a_snakefile_has_a_plan_of_its_own():
    of_modules = {name: {"toy": {"seeds": seeds}} for name, seeds in (("one", 1), ("two", 2))}
    for is_first in (True, False):
        for name, config in of_modules.items():
            rules, code = ({f"{name}_{rule}": of[rule] for rule in of} for of in (RULES, CODE))
            if not is_first and name == "two":
                rules["two_toy_train"] = "toy 2"
                assert planned_configuration({}, "two", is_first=False) == of_modules["two"]
            export_plan(config, rules, code, name, is_first)
    assert planned_configuration({}, "one", is_first=False) == of_modules["one"]
    check_planned_code("one_toy_train", CODE["toy_train"])
    with pytest.raises(CodeChanged, match=r"^two_toy_train: its rules"):
        check_planned_code("two_toy_train", CODE["toy_train"])


def test_a_module_that_was_not_planned_has_the_configuration_that_it_is_given():
    export_plan(CONFIG, RULES, CODE)
    assert planned_configuration({"a": 1}, "another", is_first=False) == {"a": 1}


def test_the_plan_of_thousands_of_conditions_is_short_enough_for_an_environment():
    conditions = [{"name": f"condition_{n}", "n_layers": n % 7, "d_model": 8 * n, "steps": n} for n in range(5000)]
    config = {"toy": {"conditions": conditions}}
    export_plan(config, RULES, CODE)
    assert len(os.environ[VARIABLE]) < 128 * 1024
    subprocess.run(["true"], check=True)
    assert planned_configuration({}, "", is_first=False) == config


@pytest.mark.parametrize("rule", ["all", "unknown"])
def test_a_rule_that_was_not_planned_is_refused(rule):
    export_plan(CONFIG, RULES | {"all": "all 1"}, CODE)
    with pytest.raises(CodeChanged, match=f"^{rule}: this job does not know with which code it was planned"):
        check_planned_code(rule, "aaaaaaaaaaaa")


def test_an_environment_that_was_not_handed_on_is_named():
    with pytest.raises(CodeChanged, match=f"{VARIABLE} did not reach it"):
        check_planned_code("toy_train", "aaaaaaaaaaaa")
