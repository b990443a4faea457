import os
import subprocess

import pytest

from memorization.plan import VARIABLE, CodeChanged, check_planned_code, export_plan, planned_configuration

CONFIG = {"zipf": {"seeds": 3}}
PARAMS = {"train": {"code": "aaaaaaaaaaaa", "condition": "{}"}, "draw": {"code": "bbbbbbbbbbbb"}, "all": {}}


@pytest.fixture(autouse=True)
def not_planned(monkeypatch):
    monkeypatch.setenv(VARIABLE, "")  # monkeypatch puts back what stood there, whatever a test exports
    monkeypatch.delenv(VARIABLE)


def test_code_as_it_was_planned_may_run():
    export_plan(CONFIG, "rules", PARAMS, first=True)
    check_planned_code("train", "aaaaaaaaaaaa")
    check_planned_code("draw", "bbbbbbbbbbbb")


def test_code_that_was_edited_is_refused_in_one_line():
    export_plan(CONFIG, "rules", PARAMS, first=True)
    with pytest.raises(
        CodeChanged, match=r"^train: its code was edited .*aaaaaaaaaaaa, now bbbbbbbbbbbb.*run the same"
    ):
        check_planned_code("train", "bbbbbbbbbbbb")


def test_rules_that_were_edited_are_refused_in_a_job():
    export_plan(CONFIG, "rules", PARAMS, first=True)
    export_plan(CONFIG, "rules", PARAMS, first=False)
    with pytest.raises(CodeChanged, match=r"^the rules, or what they import, were edited .*run the same"):
        export_plan(CONFIG, "other rules", PARAMS, first=False)


def test_a_job_keeps_the_plan_of_the_process_that_made_it():
    export_plan(CONFIG, "rules", PARAMS, first=True)
    edited, other = {"zipf": {"seeds": 4}}, {"train": {"code": "cccccccccccc"}}
    export_plan(edited, "rules", other, first=False)
    check_planned_code("train", "aaaaaaaaaaaa")
    assert planned_configuration(edited, first=False) == CONFIG
    assert planned_configuration(edited, first=True) == edited
    export_plan(edited, "rules", other, first=True)
    check_planned_code("train", "cccccccccccc")
    assert planned_configuration(CONFIG, first=False) == edited


def test_the_plan_of_thousands_of_conditions_is_short_enough_for_an_environment():
    models = [{"name": f"model_{n}", "n_layers": n % 7, "d_model": 8 * n, "steps": n} for n in range(5000)]
    config = {"zipf": {"models": models}}
    export_plan(config, "rules", PARAMS, first=True)
    assert len(os.environ[VARIABLE]) < 128 * 1024
    subprocess.run(["true"], check=True)
    assert planned_configuration({}, first=False) == config


@pytest.mark.parametrize("rule", ["all", "unknown"])
def test_a_rule_that_was_not_planned_is_refused(rule):
    export_plan(CONFIG, "rules", PARAMS, first=True)
    with pytest.raises(CodeChanged, match=f"^{rule}: this job was not told"):
        check_planned_code(rule, "aaaaaaaaaaaa")


def test_an_environment_that_was_not_handed_on_is_named():
    with pytest.raises(CodeChanged, match=f"{VARIABLE} did not reach it"):
        check_planned_code("train", "aaaaaaaaaaaa")
