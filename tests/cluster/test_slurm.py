"""The workflow on a real Slurm of one node."""

import shutil
from types import SimpleNamespace

import pytest
import yaml
from command_line import ended, snakemake
from one_node_slurm import until

# By family, a figure that takes its data, a training and an evaluation: a family joins by naming one.
FIGURES = {
    "zipf": "results/figures/zipf_loss_small.pdf",
    "associative_memory": "results/figures/associative_memory_loss_heads_1.pdf",
    "grokking": "results/figures/grokking_accuracy.pdf",
}
SMOKE = ("--configfile", "config/smoke.yaml")
SEQUENCES = "results/zipf/sequences/smoke/seed0.npz"
TRAINED = "results/zipf/trajectories/medium/seed0/step1500.npz"
CHECKPOINT = "results/zipf/checkpoints/medium/seed0/step1500.safetensors"
LOG = "logs/zipf/train/medium/seed0/step1500.log"


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    path = tmp_path_factory.mktemp("overlay") / "overlay.yaml"
    path.write_text(yaml.safe_dump({family: {"seeds": 1} for family in FIGURES}))
    return str(path)


@pytest.fixture(scope="module")
def both(cluster, one_seed, tmp_path_factory):
    """The same targets made locally, and through Slurm by the users' profile."""
    folder = tmp_path_factory.mktemp("both")
    both = SimpleNamespace(local=folder / "local", slurm=folder / "slurm")

    def arguments(directory):
        return [*FIGURES.values(), *SMOKE, one_seed, "--directory", str(directory)]

    snakemake(*arguments(both.local), "--cores", "2", root=cluster.root)
    without_accounting = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3")
    printed = cluster.snakemake(*arguments(both.slurm), *without_accounting, profile="slurm")
    assert printed.endswith("exit 0"), printed
    return both


def results(folder, family):
    files = [path for path in folder.glob("results/**/*") if path.is_file()]
    return {str(path.relative_to(folder)): path for path in files if family in str(path.relative_to(folder))}


@pytest.mark.parametrize("family", FIGURES)
def test_a_family_through_slurm_makes_the_same_bytes_as_locally(both, family):
    local, slurm = results(both.local, family), results(both.slurm, family)
    assert FIGURES[family] in local
    assert len(local) >= 6  # data, a training, an evaluation, a figure in three formats
    assert slurm.keys() == local.keys()
    for name, path in slurm.items():
        assert path.read_bytes() == local[name].read_bytes(), name


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


def test_two_gpu_jobs_at_a_time_have_devices_of_their_own(cluster, tmp_path):
    snakefile = str(cluster.root / "tests/cluster/devices.smk")
    printed = cluster.snakemake("--snakefile", snakefile, "--directory", str(tmp_path))
    assert printed.endswith("exit 0"), printed
    assert {(tmp_path / f"device{number}.txt").read_text() for number in (1, 2)} == {"0\n", "1\n"}


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


def test_a_script_that_was_edited_after_its_job_was_submitted_makes_no_result(cluster, tmp_path):
    script = cluster.root / "workflow/scripts/random_sequences/sample.py"
    text = script.read_text()
    log = tmp_path / SEQUENCES.replace("results", "logs").replace(".npz", ".log")
    try:
        with cluster.submitting(SEQUENCES, *SMOKE, "--directory", str(tmp_path), "--retries", "0") as process:
            with cluster.slurm.holding_jobs():
                until(cluster.slurm.jobs, 60, lambda: ended(process, 0))
                script.write_text(text + "\nEDITED = True\n")
            until(lambda: not cluster.slurm.jobs(), 120, lambda: ended(process, 0))
    finally:
        script.write_text(text)
    assert "CodeChanged: random_sequences: its code was edited after the run was planned" in log.read_text()
    assert not (tmp_path / SEQUENCES).exists()
