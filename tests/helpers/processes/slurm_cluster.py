"""A Slurm of a test's own on this machine: munged, slurmctld and slurmd on free ports."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from services import free_port

PROGRAMS = (
    *("munged", "slurmctld", "slurmd", "setpriv"),
    *("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun"),
)

WITH_THE_TEST = ("setpriv", "--pdeathsig", "KILL")
"""A daemon is gone with the test that started it, however that ended."""

CONFIGURATION = """\
ClusterName=looped
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=6
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldPort={controller_port}
SlurmdPort={node_port}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=1
ReturnToService=2
KillWait=5
SlurmdTimeout=15
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
NodeName=localhost CPUs=2 RealMemory=1000 Gres=gpu:1
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def why_not():
    """Why there can be no Slurm here; empty where there can."""
    if os.getuid() != 0:
        return "Slurm's daemons are started by root alone"
    lacking = [name for name in PROGRAMS if _program(name) is None]
    hint = "apt-get install slurmctld slurmd slurm-client munge"
    return f"{', '.join(lacking)} not installed ({hint})" if lacking else ""


class SlurmCluster:
    """One node with two cores and what it takes for a GPU; each daemon is a process of this one."""

    def __init__(self, folder):
        self.folder = folder
        self.conf = folder / "slurm.conf"
        self._daemons = {}

    def start(self):
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        ports = {"controller_port": free_port(), "node_port": free_port()}
        self.conf.write_text(CONFIGURATION.format(folder=self.folder, **ports))
        (self.folder / "gres.conf").write_text("NodeName=localhost Name=gpu File=/dev/null\n")
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        files = {"socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        files |= {"seed-file": "munged.seed", "key-file": "munge.key"}
        words = [f"--{name}={self.folder / file}" for name, file in files.items()]
        self._start("munged", "--foreground", "--force", *words)
        self._wait_for("munge.socket")
        self._start("slurmctld", "-D", "-i")
        self.start_node()
        self.wait_until(lambda: "idle" in self.tell("sinfo", "--noheader", "--format=%t"))

    def start_node(self):
        self._start("slurmd", "-D", "-N", "localhost")

    def lose_node(self):
        """Kill the node's daemon and all that runs on it, as the loss of a machine does."""
        self._daemons["slurmd"].kill()
        self._daemons["slurmd"].wait()
        for pid in self.processes_of_jobs():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.tell("scontrol", "update", "NodeName=localhost", "State=DOWN", "Reason=lost")

    def processes_of_jobs(self, command=""):
        """Processes whose environment says that they belong to a job of this cluster."""
        pids = []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                variables = (place / "environ").read_bytes().split(b"\0")
                words = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                is_of_job = any(each.startswith(b"SLURM_JOB_ID=") for each in variables)
                is_ours = f"SLURM_CONF={self.conf}".encode() in variables
                is_step = "slurmstepd" in words and _is_open_under(place, self.folder)
                if is_step or (is_of_job and is_ours and command in words):
                    pids.append(int(place.name))
        return pids

    def tell(self, *words):
        """Run a command of Slurm's; return what it printed."""
        answer = subprocess.run(
            words, env=self.variables(), capture_output=True, text=True, check=False, timeout=60
        )
        assert answer.returncode == 0, (words, answer.stderr)
        return answer.stdout

    def variables(self):
        return os.environ | {"SLURM_CONF": str(self.conf)}

    def stop(self):
        with suppress(AssertionError):
            self.tell("scancel", "--state=pending", "--user=root")
            self.tell("scancel", "--signal=KILL", "--full", "--user=root")
        for pid in self.processes_of_jobs():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in ("slurmd", "slurmctld", "munged"):
            if name in self._daemons:
                self._daemons[name].kill()
                self._daemons[name].wait()

    def wait_until(self, holds, seconds=60):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, self.logs()
            for name, daemon in self._daemons.items():
                assert daemon.poll() is None, f"{name} ended: {self.logs()}"
            time.sleep(0.1)

    def logs(self):
        texts = [path.read_text(errors="replace")[-2000:] for path in self.folder.glob("*.out")]
        return "\n".join(texts)

    def _start(self, name, *words):
        with (self.folder / f"{name}.out").open("a") as log:
            self._daemons[name] = subprocess.Popen(
                [*WITH_THE_TEST, _program(name), *words], env=self.variables(), cwd=self.folder,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _wait_for(self, name):
        self.wait_until((self.folder / name).exists)


def _is_open_under(place, folder):
    """Whether a process has a file open in a folder."""
    with suppress(OSError):
        return any(
            str(link.readlink()).startswith(str(folder)) for link in (place / "fd").iterdir()
        )
    return False


def _program(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


@contextmanager
def slurm_cluster():
    """A running cluster, gone at the end with all its jobs."""
    folder = Path(tempfile.mkdtemp(prefix="looped-slurm-"))
    cluster = SlurmCluster(folder)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
