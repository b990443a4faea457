"""Code that is edited while a run goes on makes no result of that run."""

import subprocess
import sys

from command_line import environment, smoke_job, snakemake

TARGET = str(smoke_job("random_sequences").output[0])
# What happens on a command line, with an edit of the package between planning and the first job.
RUN = """
import sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings
target, folder, edited, old, new = sys.argv[1:]
with SnakemakeApi(OutputSettings(show_failed_logs=True)) as api:
    workflow = api.workflow(
        resource_settings=ResourceSettings(cores=1),
        config_settings=ConfigSettings(configfiles=[Path("config/smoke.yaml").resolve()]),
        snakefile=Path("Snakefile"),
        workdir=Path(folder),
    )
    dag = workflow.dag(DAGSettings(targets={target}))
    text = Path(edited).read_text()
    assert old in text
    Path(edited).write_text(text.replace(old, new, 1))
    dag.execute_workflow()
"""


def run_with_an_edit(checkout, folder, path, old, new):
    result = subprocess.run(
        [sys.executable, "-c", RUN, TARGET, str(folder), str(checkout / path), old, new],
        cwd=checkout, env=environment() | {"PYTHONPATH": str(checkout / "src")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return result.returncode, result.stdout


def test_a_package_module_that_was_edited_meanwhile_is_refused_and_the_next_run_takes_it(checkout, tmp_path):
    edit = ("src/memorization/data/sequences.py", "import numpy as np", "import numpy as np\n\nEDITED = True")
    status, printed = run_with_an_edit(checkout, tmp_path, *edit)
    assert status != 0
    assert "random_sequences: its code was edited after the run was planned" in printed
    assert "run the same command again" in printed
    assert not (tmp_path / TARGET).exists()
    snakemake(TARGET, "--cores", "1", "--configfile", "config/smoke.yaml", "--directory", str(tmp_path), root=checkout)
    assert (tmp_path / TARGET).exists()


def test_a_comment_may_be_written_meanwhile(checkout, tmp_path):
    edit = ("src/memorization/data/sequences.py", "import numpy as np", "import numpy as np  # arrays")
    status, printed = run_with_an_edit(checkout, tmp_path, *edit)
    assert status == 0, printed
    assert (tmp_path / TARGET).exists()
