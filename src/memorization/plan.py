"""What a run was planned with, against what its jobs find.

A job starts minutes or days after the workflow was first read, perhaps on another machine. It reads configuration,
rules and package again, so it cannot see by itself that they were edited meanwhile, and Snakemake may run the script
from its cache, as it was. The run's first process therefore hands on, by the environment, which jobs inherit, its
configuration and the digests of its rules and of their code.

Imported when the Snakefile is read: nothing here may import torch.
"""

import base64
import json
import os
import zlib
from collections.abc import Mapping

VARIABLE = "MEMORIZATION_PLAN"


class CodeChanged(RuntimeError):
    """A job whose code is not the code with which its run was planned."""


def planned_configuration(config: dict, first: bool) -> dict:
    """The configuration that the run's first process read: in that process ``config``, in a job what was handed on."""
    return config if first else _plan().get("config", config)


def export_plan(config: dict, rules: str, params: Mapping[str, Mapping], first: bool) -> None:
    """Hand the plan on to the run's jobs; in a job, hold the rules to it.

    Parameters
    ----------
    config : as it was checked
    rules : digest of the rule files and of what they import
    params : by rule, its params; rules without ``code`` run none
    first : whether this is the run's first process; a job keeps what it was handed

    Raises
    ------
    CodeChanged
        In a job, if its rules are others than those planned.
    """
    if first:
        codes = {rule: of_rule["code"] for rule, of_rule in params.items() if "code" in of_rule}
        plan = json.dumps({"config": config, "rules": rules, "code": codes}, sort_keys=True)
        # Linux takes 128 KiB in one variable: of a few thousand conditions, when compressed.
        os.environ[VARIABLE] = base64.b64encode(zlib.compress(plan.encode())).decode()
    elif _plan().get("rules", rules) != rules:
        raise CodeChanged(
            "the rules, or what they import, were edited after the run was planned, nothing was made; "
            "run the same command again"
        )


def check_planned_code(rule: str, code: str) -> None:
    """That ``code``, the digest of what a job of ``rule`` is about to run, is what was planned.

    Raises
    ------
    CodeChanged
        If it is another, or if no plan was handed on.
    """
    planned = _plan().get("code", {}).get(rule)
    if planned is None:
        raise CodeChanged(
            f"{rule}: this job was not told with which code it was planned: {VARIABLE} did not reach it; "
            "let the executor hand the environment on (sbatch --export=ALL)"
        )
    if code != planned:
        raise CodeChanged(
            f"{rule}: its code was edited after the run was planned (planned {planned}, now {code}), nothing was made; "
            "run the same command again"
        )


def _plan() -> dict:
    plan = os.environ.get(VARIABLE)
    return json.loads(zlib.decompress(base64.b64decode(plan))) if plan else {}
