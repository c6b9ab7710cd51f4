"""The files that a test cluster is described by, and what it believes of this machine."""

from __future__ import annotations

import os
from pathlib import Path

NODES = ("n1", "n2")  # slurmd runs once for each, on this one machine
CPUS, MEMORY_MB = 8, 16000  # of a node, as SLURM believes: tests wait more than they compute
GPU_FILES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
SHORT_MINUTES = 3  # the longest job of the partition `short`
CLUSTER = "test"

SLURM_CONF = """\
ClusterName={cluster}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
AuthType=auth/munge
AuthInfo=cred_expire=5,socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
Prolog={folder}/prolog
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log
MinJobAge=300
KillWait=10
ReturnToService=0
GresTypes=gpu
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT Nodes=ALL MaxTime=INFINITE State=UP
PartitionName=main Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=urgent PriorityTier=2 PreemptMode=OFF
PartitionName=short PriorityTier=1 MaxTime={short}
"""

NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus} State=UNKNOWN\n"  # fmt: skip  # noqa: E501

# What jobs use is measured every second and kept by slurmdbd, or nothing is.
ACCOUNTED = """\
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
"""
NOT_ACCOUNTED = """\
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
"""

# Runs before every job: the completion log alone does not tell the GPUs.
PROLOG = """\
#!/bin/sh
exec >> {folder}/started.log
echo "$SLURM_JOB_ID|$SLURM_JOB_RESTART_COUNT|$SLURM_JOB_GPUS|$SLURMD_NODENAME|$SLURM_JOB_COMMENT"
"""


def write_files(
    folder: Path, host: str, gpus: int, controller_port: int, node_ports: list[int],
    accounting_port: int | None,
) -> None:  # fmt: skip
    """Writes the configuration, the key of munge and the prolog to an empty folder.

    gpus: of each node, at most as many as GPU_FILES. accounting_port: of slurmdbd; None: no
    accounting.
    """
    for name in ("state", *(f"spool.{node}" for node in NODES)):
        (folder / name).mkdir(parents=True)
    (folder / "mark").write_text("ssl_ood test cluster\n")
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    conf = SLURM_CONF.format(
        cluster=CLUSTER, folder=folder, host=host, controller_port=controller_port,
        short=SHORT_MINUTES,
    )  # fmt: skip
    accounting = (
        ACCOUNTED.format(folder=folder, port=accounting_port) if accounting_port else NOT_ACCOUNTED
    )
    nodes = "".join(
        NODE.format(name=name, host=host, port=port, cpus=CPUS, memory=MEMORY_MB, gpus=gpus)
        for name, port in zip(NODES, node_ports, strict=True)
    )
    (folder / "slurm.conf").write_text(accounting + nodes + conf)
    lines = [
        f"NodeName={name} Name=gpu File={path}\n" for name in NODES for path in GPU_FILES[:gpus]
    ]
    (folder / "gres.conf").write_text("".join(lines))
    prolog = folder / "prolog"
    prolog.write_text(PROLOG.format(folder=folder))
    prolog.chmod(0o755)
