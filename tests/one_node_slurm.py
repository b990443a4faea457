"""A real Slurm of one node, started as root from Debian's packages, all of it in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from processes import until

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
GPUS = ("/dev/null", "/dev/zero")  # pretended: Slurm hands them out, nothing computes on them
CPUS = 4  # told to Slurm whatever there are, so that jobs which wait for each other run at once
CONFIGURATION = """
ClusterName=one_node
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
MailProg=/bin/true
MinJobAge=3600
KillWait=2
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why a Slurm cannot be started here, or None."""
    if os.geteuid() != 0:
        return "starts a Slurm, which needs root"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"starts a Slurm: apt-get install slurm-wlm munge (no {', '.join(absent)})" if absent else None


class Slurm:
    """A running Slurm: where its configuration and its logs are, and its own commands."""

    def __init__(self, folder: Path):
        self.folder = folder
        path = f"{folder / 'bin'}:{os.environ.get('PATH', '')}"
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}

    def run(self, *command: str) -> str:
        """What a command of Slurm's prints."""
        result = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, check=False, timeout=30
        )
        assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"
        return result.stdout

    def jobs(self) -> list[str]:
        """The numbers of the jobs that wait or run."""
        return self.run("squeue", "--noheader", "--format=%i").split()

    def cancel(self, jobs: list[str]) -> None:
        """Cancel jobs, and wait until they have ended."""
        if jobs:
            self.run("scancel", *jobs)
            until(lambda: not {*jobs} & {*self.jobs()}, 30, lambda: f"jobs {jobs} do not end")

    @contextmanager
    def holding_jobs(self) -> Iterator[None]:
        """No job starts within; those that were submitted start at the end."""
        self.run("scontrol", "update", "PartitionName=main", "State=DOWN")
        try:
            yield
        finally:
            self.run("scontrol", "update", "PartitionName=main", "State=UP")


@contextmanager
def running() -> Iterator[Slurm]:
    """Start munge, the controller and the node; stop them at the end, by their pid files."""
    with tempfile.TemporaryDirectory(prefix="slurm_") as name:  # not pytest's: a socket's path must be short
        folder = Path(name)
        _configure(folder)
        slurm = Slurm(folder)
        environment = os.environ | slurm.environment | {"PATH": _path()}
        munge = [f"--{option}={folder}/munge.{option}" for option in ("socket", "key-file", "pid-file", "log-file")]
        daemons = {
            "munge.pid-file": ["munged", "--force", *munge, f"--seed-file={folder}/munge.seed"],
            "slurmctld.pid": ["slurmctld"],
            "slurmd.pid": ["slurmd"],
        }
        try:
            for command in daemons.values():
                started = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                assert started.returncode == 0, f"{command[0]}: {started.stderr}\n{_logs(folder)}"
            until(lambda: slurm.run("sinfo", "--noheader", "--format=%t").strip() == "idle", 30, lambda: _logs(folder))
            yield slurm
        finally:
            for pid_file in reversed(daemons):
                _stop(folder / pid_file)


def _configure(folder: Path) -> None:
    folder.chmod(0o755)  # clients of munge must reach its socket
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "bin").mkdir()
    srun = folder / "bin/srun"  # Snakemake's plugin hides all SLURM_* from it, and it would look in /etc/slurm alone
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    key = folder / "munge.key-file"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], env=os.environ | {"PATH": _path()}, check=True)
    controller_port, node_port = _free_ports(2)
    text = CONFIGURATION.format(
        folder=folder, host=socket.gethostname().partition(".")[0], cpus=CPUS, gpus=len(GPUS),
        memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        controller_port=controller_port, node_port=node_port,
    )  # fmt: skip
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={path}\n" for path in GPUS))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _stop(pid_file: Path) -> None:
    if not pid_file.is_file():
        return
    pid = int(pid_file.read_text())
    with suppress(ProcessLookupError):  # it died by itself
        os.kill(pid, signal.SIGTERM)
    until(lambda: not _runs(pid), 20, lambda: f"{pid_file.name}: {pid} does not stop")


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _logs(folder: Path) -> str:
    return "\n".join(f"{path.name}:\n{path.read_text()[-2000:]}" for path in sorted(folder.glob("*log*")))


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # daemons are not on every root's
