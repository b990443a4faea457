"""The workflow on a real Slurm of one node: a job of each kind of request, cancelled, failing, edited, on a GPU."""

import shutil

import pytest
from command_line import Study, ended, smoke_job, snakemake
from processes import until

from memorization.files import read_arrays

SMOKE = ("--configfile", "config/smoke.yaml")
TRAINING, SAMPLED = smoke_job("_train"), smoke_job("random_sequences")
FAMILY = TRAINING.rule.name.removesuffix("_train")
SEQUENCES, LOG = str(TRAINING.input[0]), str(TRAINING.log[0]).replace("step40", "step4000")
CHECKPOINT, TRAINED = (str(path).replace("step40", "step4000") for path in TRAINING.output)


def test_a_failing_job_is_reported_with_its_log(cluster, tmp_path):
    sequences = tmp_path / SEQUENCES
    sequences.parent.mkdir(parents=True)
    sequences.write_bytes(b"PK\x03\x04 cut off")
    printed = cluster.snakemake(TRAINED, *SMOKE, "--directory", str(tmp_path), "--retries", "0")
    assert printed.endswith("exit 1"), printed
    assert f"Error in rule {FAMILY}_train" in printed
    assert f"log: {LOG}, {tmp_path}/.snakemake/slurm_logs/rule_{FAMILY}_train/" in printed
    assert f"DamagedFile: {SEQUENCES}: damaged" in printed  # the end of the job's log


def test_a_cancelled_training_is_submitted_again_and_goes_on_to_the_same_bytes(cluster, tmp_path):
    overlay, unbroken, cancelled = tmp_path / "overlay.yaml", tmp_path / "unbroken", tmp_path / "cancelled"
    overlay.write_text("progress: {report_seconds: 0.5, checkpoint_seconds: 0.5}")
    arguments = [TRAINED, *SMOKE, str(overlay), "--directory"]
    snakemake(*arguments, str(unbroken), "--cores", "1", root=cluster.root)
    (cancelled / SEQUENCES).parent.mkdir(parents=True)
    shutil.copy(unbroken / SEQUENCES, cancelled / SEQUENCES)
    with cluster.submitting(*arguments, str(cancelled)) as process:
        until(lambda: list((cancelled / CHECKPOINT).parent.glob("*.unfinished")), 240, lambda: ended(process, 0))
        cluster.slurm.cancel(cluster.slurm.jobs())
        assert not (cancelled / TRAINED).exists()
        printed = ended(process)
    assert printed.endswith("exit 0"), printed
    assert "SLURM status is: 'CANCELLED'" in printed
    assert "Trying to restart job" in printed
    assert "going on after step" in (cancelled / LOG).read_text()
    for name in (TRAINED, CHECKPOINT):
        assert (cancelled / name).read_bytes() == (unbroken / name).read_bytes(), name
    assert not list((cancelled / CHECKPOINT).parent.glob("*.unfinished"))


def test_two_gpu_jobs_at_a_time_have_devices_of_their_own_and_a_job_knows_whether_it_has_any(cluster, tmp_path):
    snakefile = str(cluster.root / "tests/cluster/devices.smk")
    printed = cluster.snakemake("--snakefile", snakefile, "--directory", str(tmp_path))
    assert printed.endswith("exit 0"), printed
    assert {(tmp_path / f"device{number}.txt").read_text() for number in (1, 2)} == {"0\n", "1\n"}
    assert [(tmp_path / f"given{count}.txt").read_text() for count in (0, 1)] == ["False\n", "True\n"]


@pytest.mark.parametrize(("device", "asked"), [("cuda", True), ("cpu", False)])
def test_a_training_asks_slurm_for_a_gpu_where_it_must_have_one(cluster, tmp_path, device, asked):
    (tmp_path / SEQUENCES).parent.mkdir(parents=True)
    (tmp_path / SEQUENCES).write_bytes(b"")
    arguments = [TRAINED, *SMOKE, "--config", f"device={device}", "--directory", str(tmp_path)]
    with cluster.slurm.holding_jobs(), cluster.submitting(*arguments) as process:
        until(cluster.slurm.jobs, 60, lambda: ended(process, 0))
        told = cluster.slurm.run("scontrol", "show", "job", *cluster.slurm.jobs())
    assert ("gres:gpu:1" in told) == asked, told
    assert "NumCPUs=1" in told
    assert "TimeLimit=00:30:00" in told


@pytest.fixture
def submitted(cluster, tmp_path):
    """What a run prints and logs whose checkout is edited between the submission and the start of its job."""

    def submit(path, old, new):
        text = (cluster.root / path).read_text()
        assert old in text
        try:
            with cluster.submitting(SEQUENCES, *SMOKE, "--directory", str(tmp_path), "--retries", "0") as process:
                with cluster.slurm.holding_jobs():
                    until(cluster.slurm.jobs, 60, lambda: ended(process, 0))
                    (cluster.root / path).write_text(text.replace(old, new, 1))
                printed = ended(process)
        finally:
            (cluster.root / path).write_text(text)
        logs = [*tmp_path.glob("logs/**/*.log"), *tmp_path.glob(".snakemake/slurm_logs/**/*.log")]
        return "".join([printed, *(log.read_text() for log in logs)])

    return submit


def test_a_script_that_was_edited_after_its_job_was_submitted_makes_no_result(submitted, tmp_path):
    printed = submitted(SAMPLED.rule.script.removeprefix("../"), "with job", "EDITED = True\nwith job")
    assert f"CodeChanged: {SAMPLED.rule.name}: its code was edited after the run was planned" in printed
    assert not (tmp_path / SEQUENCES).exists()


def test_a_configuration_that_was_edited_after_submission_changes_nothing_in_the_run(submitted, cluster, tmp_path):
    submitted("config/smoke.yaml", "length: 12", "length: 14")
    assert read_arrays(tmp_path / SEQUENCES)["sequences"].shape[1] == 12


def test_each_kind_of_request_through_slurm_makes_the_same_bytes_as_locally(cluster, study, tmp_path):
    """A training, an evaluation, a table and a figure, by the users' profile; data are submitted above."""
    through = Study(cluster.root, tmp_path / "smoke")
    shutil.copytree(study.folder, through.folder)
    rules = (
        "random_sequences",
        f"{FAMILY}_train",
        f"{FAMILY}_evaluate",
        f"{FAMILY}_runs_table",
        f"{FAMILY}_loss_figure",
    )
    again = [smoke_job(rule) for rule in rules]
    made = {str(path) for job in again for path in job.output}
    for path in made:
        (through.folder / path).unlink(missing_ok=True)
    without_accounting = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3")
    targets = [str(path) for job in again[-2:] for path in job.output]
    printed = cluster.snakemake(*through.arguments(*targets), *without_accounting, profile="slurm", seconds=600)
    assert printed.endswith("exit 0"), printed
    assert printed.count("has been submitted with SLURM jobid") >= len(again)
    for path in made:
        assert (through.folder / path).read_bytes() == (study.folder / path).read_bytes(), path
