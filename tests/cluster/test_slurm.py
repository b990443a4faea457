"""The workflow on a real Slurm of one node."""

import re
import shutil
from pathlib import Path

import pytest
from command_line import Study, ended, planned, snakemake
from processes import until

from memorization.files import read_arrays

SMOKE = ("--configfile", "config/smoke.yaml")
SEQUENCES = "results/zipf/sequences/smoke/seed0.npz"
TRAINED = "results/zipf/trajectories/medium/seed0/step800.npz"
CHECKPOINT = "results/zipf/checkpoints/medium/seed0/step800.safetensors"
FIGURE = "results/figures/zipf_loss_small.pdf"
FAMILIES = ("zipf", "associative_memory", "grokking")
ENDS = (  # of the workflow, by which every rule has a job
    *("tables/zipf_by_sequence.parquet", "tables/associative_memory_by_sequence.parquet"),
    *(f"figures/zipf_{name}.pdf" for name in ("loss", "comparison", "switch", "swap")),
    *(f"figures/associative_memory_{name}.pdf" for name in ("loss", "heads", "attention", "switch", "comparison")),
    *(f"figures/grokking_{name}.pdf" for name in ("fingerprint", "distances", "residual", "perturbation")),
)
LEFT = ("medium", "large_rope", "large_lr", "forget", "heads_1", "wd_0")  # other conditions go through the same rules
LOG = "logs/zipf/train/medium/seed0/step800.log"


def test_a_failing_job_is_reported_with_its_log(cluster, tmp_path):
    sequences = tmp_path / SEQUENCES
    sequences.parent.mkdir(parents=True)
    sequences.write_bytes(b"PK\x03\x04 cut off")
    printed = cluster.snakemake(TRAINED, *SMOKE, "--directory", str(tmp_path), "--retries", "0")
    assert printed.endswith("exit 1"), printed
    assert "Error in rule zipf_train" in printed
    assert f"log: {LOG}, {tmp_path}/.snakemake/slurm_logs/rule_zipf_train/" in printed
    assert f"DamagedFile: {SEQUENCES}: damaged" in printed  # the end of the job's log


def test_a_cancelled_training_is_submitted_again_and_goes_on_to_the_same_bytes(cluster, tmp_path):
    overlay, unbroken, cancelled = tmp_path / "overlay.yaml", tmp_path / "unbroken", tmp_path / "cancelled"
    overlay.write_text("progress: {report_seconds: 0.2, checkpoint_seconds: 0.2}")
    arguments = [TRAINED, *SMOKE, str(overlay), "--directory"]
    snakemake(*arguments, str(unbroken), "--cores", "1", root=cluster.root)
    (cancelled / SEQUENCES).parent.mkdir(parents=True)
    shutil.copy(unbroken / SEQUENCES, cancelled / SEQUENCES)
    with cluster.submitting(*arguments, str(cancelled)) as process:
        until(lambda: list((cancelled / CHECKPOINT).parent.glob("*.unfinished")), 60, lambda: ended(process, 0))
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
    printed = submitted("workflow/scripts/random_sequences/sample.py", "with job", "EDITED = True\nwith job")
    assert "CodeChanged: random_sequences: its code was edited after the run was planned" in printed
    assert not (tmp_path / SEQUENCES).exists()


def test_rules_that_were_edited_after_their_job_was_submitted_make_no_result(submitted, tmp_path):
    printed = submitted("rules/common.smk", 'step="[0-9]+"', 'step="[0-9]*"')
    assert "the rules, or what they import, were edited after the run was planned" in printed
    assert not (tmp_path / SEQUENCES).exists()


def test_a_configuration_that_was_edited_after_submission_changes_nothing_in_the_run(submitted, cluster, tmp_path):
    begin = "zipf:\n  seeds: 2\n  datasets:\n    - {name: smoke, count: 80, length: "
    submitted("config/smoke.yaml", f"{begin}12", f"unknown: {{}}\n{begin}14")
    assert read_arrays(tmp_path / SEQUENCES)["sequences"].shape == (80, 12)
    assert planned(SEQUENCES, *SMOKE, "--directory", str(tmp_path), root=cluster.root) == {}


def test_jobs_go_in_groups_and_in_arrays_as_the_page_says(cluster, study, tmp_path):
    """The options of docs/cluster.md, for one condition: 2 seeds and one figure."""
    through = Study(cluster.root, tmp_path / "smoke")
    shutil.copytree(study.folder, through.folder)
    made = [*(through.folder / "results/zipf").glob("[!s]*/small/*/*")]  # of training and of evaluation
    for path in made:
        path.unlink()
    together = ["--slurm-array-jobs", "random_sequences,zipf_train"]
    together += ["--groups", "zipf_evaluate=short", "zipf_curves_figure=short"]
    printed = cluster.snakemake(*through.arguments(FIGURE), *together)
    assert printed.endswith("exit 0"), printed
    assert (through.folder / FIGURE).exists()
    assert len(made) == 2 * (1 + 1 + 4)
    for path in made:
        assert path.read_bytes() == (study.folder / path.relative_to(through.folder)).read_bytes(), path
    assert "5 of 5 steps (100%) done" in printed
    assert printed.count("has been submitted with SLURM jobid") < 5


def test_every_rule_of_the_smoke_workflow_through_slurm_makes_the_same_bytes_as_locally(cluster, study, tmp_path):
    """Every rule of every family, by the users' profile, from the data to the figures.

    Runs that are left as the local run made them stand in tables and figures beside those that are made again.
    """
    through = Study(cluster.root, tmp_path / "smoke")
    shutil.copytree(study.folder, through.folder)
    data = []
    for path in (through.folder / "results").rglob("*.*"):
        if "seed1" not in str(path.relative_to(through.folder)) and not {*LEFT} & {*path.parts}:
            path.unlink()
            if {"sequences", "equations"} & {*path.parts}:
                data.append(str(path.relative_to(through.folder)))

    def submitted(*targets):
        without_accounting = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3")
        arguments = (*through.arguments(*targets), *without_accounting)
        printed = cluster.snakemake(*arguments, profile="slurm", seconds=1200)
        assert printed.endswith("exit 0"), printed
        counts = dict(re.findall(r"^(\w+) +(\d+)$", printed.partition("\nSelect jobs")[0], re.MULTILINE))
        assert printed.count("has been submitted with SLURM jobid") == int(counts.pop("total"))
        return {*counts}

    rules = submitted(*data)  # first, so that they make nothing else stale: they are what they were
    rules |= submitted(*(f"results/{path}" for path in ENDS))
    texts = [path.read_text() for path in (cluster.root / "rules").glob("*.smk")]
    assert rules == {*re.findall(r"^rule (\w+):", "".join(texts), re.MULTILINE)} - {*FAMILIES}
    for path in filter(Path.is_file, (through.folder / "results").rglob("*")):
        name = path.relative_to(through.folder)
        assert path.read_bytes() == (study.folder / name).read_bytes(), name
