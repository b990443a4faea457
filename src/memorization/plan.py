"""What a run was planned with, against what its jobs find.

A job starts minutes or days after the workflow was first read, perhaps on another machine. It reads configuration,
rules and package again, so it cannot see by itself that they were edited meanwhile, and Snakemake may run the script
from its cache, as it was. The run's first process therefore hands on, by the environment, which jobs inherit, its
configuration and, for each rule, the digests of its rule files and of its code. A rule's files are those of its family
and those that all share: an edit of one family leaves the jobs of the others alone.

Where a Snakefile uses the workflow as a module, perhaps several times, each module has a plan of its own.

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


def planned_configuration(config: dict, module_name: str, is_first: bool) -> dict:
    """The configuration that the run's first process read: in that process ``config``, in a job what was handed on."""
    return config if is_first else _plan().get("config", {}).get(module_name, config)


def export_plan(
    config: dict, rules: Mapping[str, str], code: Mapping[str, str], module_name: str = "", is_first: bool = True
) -> None:
    """Hand the plan on to the run's jobs; in a job, note the rules whose files are others than those planned.

    Parameters
    ----------
    config : as it was checked
    rules : by rule, the digest of its rule files and of what they import
    code : by rule, the digest of its script and of what it imports
    module_name : by which a Snakefile uses the workflow; empty where the workflow is the Snakefile itself
    is_first : whether this is the run's first process; a job keeps what it was handed
    """
    plan = _plan()
    if is_first:
        plan.pop("changed", None)  # of a run in one of whose jobs this one was started
        plan.setdefault("config", {})[module_name] = config
        for name, digests in (("rules", rules), ("code", code)):
            plan[name] = plan.get(name, {}) | digests
    else:
        planned = plan.get("rules", {})
        changed = [rule for rule, found in rules.items() if planned.get(rule, found) != found]
        plan["changed"] = sorted({*plan.get("changed", []), *changed})
    # Linux takes 128 KiB in one variable: of a few thousand conditions, when compressed.
    text = json.dumps(plan, sort_keys=True)
    os.environ[VARIABLE] = base64.b64encode(zlib.compress(text.encode())).decode()


def check_planned_code(rule: str, code: str) -> None:
    """That ``code``, the digest of what a job of ``rule`` is about to run, is what was planned, and so are its rules.

    Raises
    ------
    CodeChanged
        If it is another, or if no plan was handed on.
    """
    plan = _plan()
    planned = plan.get("code", {}).get(rule)
    if planned is None:
        raise CodeChanged(
            f"{rule}: this job does not know with which code it was planned: {VARIABLE} did not reach it; "
            "let the executor hand the environment on (sbatch --export=ALL)"
        )
    if rule in plan.get("changed", []):
        raise CodeChanged(
            f"{rule}: its rules, or what they import, were edited after the run was planned, nothing was made; "
            "run the same command again"
        )
    if code != planned:
        raise CodeChanged(
            f"{rule}: its code was edited after the run was planned (planned {planned}, now {code}), nothing was made; "
            "run the same command again"
        )


def _plan() -> dict:
    plan = os.environ.get(VARIABLE)
    return json.loads(zlib.decompress(base64.b64decode(plan))) if plan else {}
