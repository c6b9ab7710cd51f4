"""A real SLURM on this one machine, for tests: started in a scratch folder, stopped without trace.

    python tests/slurm/cluster.py install          # Debian's packages, as root; the only step that
                                                   # changes the machine for good
    python tests/slurm/cluster.py run -- sinfo     # starts, runs a command, stops
    python tests/slurm/cluster.py start            # ... and stop

All daemons run without systemd; GPUs are pretended (SLURM counts them and tells a
job which are its own, no driver is asked). A job's own `srun` finds the cluster only through
/etc/slurm, so two links are made there and removed at the end; a configuration that is already
there is never touched. The cluster has two nodes, one slurmd each, and where they are installed an
accounting database (slurmdbd and MariaDB). `jobs.log` in the scratch folder has a line for every
job that ended, `started.log` one for every start, with its GPUs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import accounting
from slurm_files import GPU_FILES, NODES, write_files

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sinfo")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
CONFIG_FOLDER = Path("/etc/slurm")
POLICY = Path("/usr/sbin/policy-rc.d")
LINKS = ("slurm.conf", "gres.conf")
# In the order in which they are stopped.
DAEMONS = (*(f"slurmd.{node}" for node in NODES), "slurmctld", "slurmdbd", "mariadbd", "munged")


class ClusterError(RuntimeError):
    """The cluster cannot be started here, or did not start; one sentence says why."""


@dataclass(frozen=True)
class Job:
    """A job that ended: what it was, what it got, how it ended."""

    id: str
    comment: str  # rule and wildcards, as the plugin writes them
    gpus: int
    restarts: int  # times that SLURM itself queued it again
    nodes: tuple[str, ...]  # one for every start
    state: str  # the last one


def obstacle() -> str | None:
    """Why no cluster can be started on this machine, or None."""
    if os.geteuid() != 0:
        return "SLURM was not started: its daemons need root here"
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return (
            f"SLURM is not installed ({', '.join(missing)} missing): "
            "`python tests/slurm/cluster.py install`, or apt-get install " + " ".join(PACKAGES)
        )
    for name in LINKS:
        path = CONFIG_FOLDER / name
        if path.is_symlink() and not path.exists():
            continue  # left by a cluster that was killed; its folder is gone
        if path.exists() and not (path.is_symlink() and _is_ours(path.resolve())):
            return f"this machine has a SLURM of its own ({path}), which is left alone"
    return None


def no_accounting() -> str | None:
    """Why the cluster has no accounting database on this machine, or None."""
    missing = [name for name in accounting.PROGRAMS if _program(name) is None]
    if not missing:
        return None
    return (
        f"the cluster keeps no accounts ({', '.join(missing)} missing): "
        "`python tests/slurm/cluster.py install`, or apt-get install "
        + " ".join(accounting.PACKAGES)
    )


def install() -> None:
    """Installs Debian's packages; no service is started by it. Raises ClusterError.

    Where the accounting database alone cannot be installed, the cluster goes without.
    """
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError("Installing SLURM needs root and apt-get.")
    made_policy = not POLICY.exists()
    if made_policy:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "check": True}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends"]
    whole = [*install, *PACKAGES, *accounting.PACKAGES]
    try:
        if subprocess.run(whole, env=quiet["env"]).returncode:
            subprocess.run(["apt-get", "update", "-q"], **quiet)  # the lists may be old or absent
            if subprocess.run(whole, env=quiet["env"]).returncode:
                subprocess.run([*install, *PACKAGES], **quiet)
    except subprocess.CalledProcessError as error:
        raise ClusterError(f"apt-get failed with status {error.returncode}.") from None
    finally:
        if made_policy:
            POLICY.unlink(missing_ok=True)


class Cluster:
    """A running SLURM; `jobs()` are those that ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.host = socket.gethostname().split(".")[0]
        self.accounted = no_accounting() is None

    def start(self, gpus: int = len(GPU_FILES)) -> None:
        """Starts the daemons and waits until the nodes take jobs. Raises ClusterError."""
        if problem := obstacle():
            raise ClusterError(problem)
        for name in LINKS:
            target = CONFIG_FOLDER / name
            if target.is_symlink() and _alive(_pid(target.resolve().parent / "slurmctld.pid")):
                raise ClusterError(f"A test cluster runs already, in {target.resolve().parent}.")
        self._write_files(gpus)
        try:
            self._link()
            self._start_daemons()
            self._wait_until_idle()
        except BaseException:
            self.stop(keep_logs=True)
            raise

    def stop(self, keep_logs: bool = False) -> None:
        """Cancels what runs, stops the daemons, removes the links and the folder."""
        if _alive(_pid(self.folder / "slurmctld.pid")):
            subprocess.run(["scancel", "--full", "--user=root"], capture_output=True)
            _wait(lambda: not self._out("squeue", "-h", "-t", "R,CG"), 20)
        for pid in [_pid(self.folder / f"{name}.pid") for name in DAEMONS]:
            _end(pid)
        # Without control groups, SLURM loses sight of a killed job's grandchildren.
        for pid in _started_under(self.folder / "slurm.conf"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in LINKS:
            link = CONFIG_FOLDER / name
            if link.is_symlink() and link.readlink().parent == self.folder:
                link.unlink()
        if (self.folder / "made_config_folder").exists():
            with contextlib.suppress(OSError):
                CONFIG_FOLDER.rmdir()
        if not keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)

    def jobs(self) -> list[Job]:
        """The jobs that ended so far, by number."""
        ended = dict(re.findall(r"^JobId=(\d+) .* JobState=(\S+)", self._log("jobs.log"), re.M))
        jobs: dict[str, Job] = {}
        for line in self._log("started.log").splitlines():
            number, restarts, gpus, node, comment = line.split("|", 4)
            if number in ended:
                count = len(gpus.split(",")) if gpus else 0
                nodes = (*(jobs[number].nodes if number in jobs else ()), node)
                jobs[number] = Job(number, comment, count, int(restarts), nodes, ended[number])
        return list(jobs.values())

    def set_node(self, node: str, state: str) -> None:
        """Sets a node `down` (its jobs are killed or requeued) or lets it `resume`."""
        command = ["scontrol", "update", f"NodeName={node}", f"State={state}"]
        subprocess.run([*command, "Reason=test"], check=True)

    def node_of(self, job: str) -> str:
        """The node that a job runs on, or ran on last."""
        return self._out("squeue", "-h", "-j", job, "-t", "all", "-o", "%N").strip()

    def preempt(self, node: str) -> None:
        """Runs a short job that needs all GPUs of a node and is more urgent than what runs."""
        command = ["sbatch", "-p", "urgent", "-w", node, f"--gpus-per-node={len(GPU_FILES)}"]
        command += ["--mem=10", "-o/dev/null", "--wrap", "sleep 2"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def minutes_granted(self, job: str) -> float:
        """The time limit of a job that is there."""
        limit = self._out("squeue", "-h", "-j", job, "-o", "%l").strip()
        days, _, clock = limit.rpartition("-")
        seconds = 0
        for part in clock.split(":"):
            seconds = 60 * seconds + int(part)
        return 1440 * int(days or 0) + seconds / 60

    def _log(self, name: str) -> str:
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def _write_files(self, gpus: int) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.folder.chmod(0o700)
        controller_port, accounting_port, *node_ports = _free_ports(2 + len(NODES))
        if self.accounted:
            accounting.write_files(self.folder, accounting_port)
        write_files(
            self.folder, self.host, gpus, controller_port, node_ports,
            accounting_port if self.accounted else None,
        )  # fmt: skip

    def _link(self) -> None:
        if not CONFIG_FOLDER.exists():
            CONFIG_FOLDER.mkdir()
            (self.folder / "made_config_folder").touch()
        for name in LINKS:
            link = CONFIG_FOLDER / name
            if link.is_symlink():
                link.unlink()  # of a cluster that was killed
            link.symlink_to(self.folder / name)

    def _start_daemons(self) -> None:
        folder, conf = self.folder, self.folder / "slurm.conf"
        munge = [
            f"--{name.replace('_', '-')}={folder}/{file}"
            for name, file in (
                ("key_file", "munge.key"), ("socket", "munge.socket"),
                ("pid_file", "munged.pid"), ("log_file", "munged.log"),
                ("seed_file", "munged.seed"),
            )
        ]  # fmt: skip
        self._daemon("munged", "--force", *munge)
        if self.accounted:
            self._start_accounting()
        # Absolute paths: a daemon changes its folder before it reads its configuration.
        self._daemon("slurmctld", "-c", "-f", str(conf))
        for node in NODES:
            self._daemon("slurmd", "-N", node, "-f", str(conf))

    def _start_accounting(self) -> None:
        folder, mariadbd = self.folder, _program("mariadbd")
        accounting.make_database(folder, mariadbd)
        with open(folder / "start.log", "ab") as log:
            subprocess.Popen(
                accounting.mariadb_command(folder, mariadbd), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if not _wait((folder / "mariadb.socket").exists, 30):
            raise ClusterError(f"MariaDB did not come up in 30 s: see {folder}/start.log.")
        self._daemon("slurmdbd", env=accounting.environment(folder))
        if not _wait(lambda: "started" in self._log("slurmdbd.log"), 30):
            raise ClusterError(f"slurmdbd did not come up in 30 s: see {folder}/slurmdbd.log.")

    def _daemon(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        # The daemons keep the pipe open: their words go to a file.
        with open(self.folder / "start.log", "ab") as log:
            done = subprocess.run(
                [_program(name), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=env,
            )  # fmt: skip
        if done.returncode:
            words = (self.folder / "start.log").read_text()[-500:]
            raise ClusterError(f"{name} did not start: {words}")

    def _wait_until_idle(self) -> None:
        def idle() -> bool:
            return set(self._out("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"}

        if not _wait(idle, 30):
            raise ClusterError(f"The nodes did not come up in 30 s: see the logs in {self.folder}.")

    def _out(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True).stdout


@contextlib.contextmanager
def cluster(folder: Path | None = None) -> Iterator[Cluster]:
    """A cluster for the length of the block, in a scratch folder of its own if none is given."""
    made = Cluster(folder or Path(tempfile.mkdtemp(prefix="ssl-ood-slurm-")))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _is_ours(path: Path) -> bool:
    return (path.parent / "mark").exists()


def _pid(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _alive(pid: int) -> bool:
    """Whether the process runs; one that has ended but that nobody has waited for does not."""
    try:
        return (
            pid > 0 and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    except OSError:
        return False


def _started_under(conf: Path) -> list[int]:
    """Processes that jobs of this cluster have left."""
    mark, found = b"SLURM_CONF=" + bytes(conf) + b"\0", []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes() and b"SLURM_JOB_ID=" in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _alive(pid):
            os.kill(pid, number)
            _wait(lambda: not _alive(pid), 10)


def _wait(done, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main() -> int:
    """The command line; a sentence on stderr and status 2 where it cannot be done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["check", "install", "start", "stop", "run"])
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND ...")
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()) / "ssl-ood-slurm",
        help="scratch folder of the cluster (default: %(default)s)",
    )  # fmt: skip
    options = parser.parse_args()
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    try:
        if options.action == "install":
            install()
        elif options.action == "start":
            Cluster(options.folder).start()
        elif options.action == "stop":
            Cluster(options.folder).stop()
        elif options.action == "run":
            with cluster(options.folder):
                return subprocess.run(command).returncode
        elif problem := obstacle():
            raise ClusterError(problem)
    except ClusterError as error:
        print(f"cluster.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
