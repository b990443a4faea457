"""The code with which a run was planned, against the code that its jobs find.

A job starts minutes or days after the workflow was first read, perhaps on another machine. It reads the rules and the
package again, so it cannot see by itself that they were edited meanwhile, and Snakemake may run the script from its
cache, as it was. The run's first process therefore hands the digests on by the environment, which jobs inherit.

Imported when the Snakefile is read: nothing here may import torch.
"""

import json
import os
from collections.abc import Mapping

VARIABLE = "MEMORIZATION_PLANNED_CODE"


class CodeChanged(RuntimeError):
    """A job whose code is not the code with which its run was planned."""


def export_planned_code(params: Mapping[str, Mapping], first: bool) -> None:
    """Hand the digest of each rule's code on to the run's jobs.

    Parameters
    ----------
    params : by rule, its params; rules without ``code`` run none
    first : whether this is the run's first process; a job keeps what it was handed
    """
    if first:
        codes = {rule: of_rule["code"] for rule, of_rule in params.items() if "code" in of_rule}
        os.environ[VARIABLE] = json.dumps(codes, sort_keys=True)


def check_planned_code(rule: str, code: str) -> None:
    """That ``code``, the digest of what a job of ``rule`` is about to run, is what was planned.

    Raises
    ------
    CodeChanged
        If it is another, or if no plan was handed on.
    """
    planned = json.loads(os.environ.get(VARIABLE, "{}")).get(rule)
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
