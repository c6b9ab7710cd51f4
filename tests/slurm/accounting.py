"""A real accounting database for the test cluster: slurmdbd on a MariaDB, both in its folder.

MariaDB listens to a socket in the folder alone, which only root can enter, and checks no password.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

PACKAGES = ("slurmdbd", "mariadb-server-core")
PROGRAMS = ("slurmdbd", "mariadbd", "sacct", "sacctmgr")
SYSTEM_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")

SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
"""


def write_files(folder: Path, port: int) -> None:
    """Writes the configuration of slurmdbd."""
    conf = folder / "slurmdbd.conf"
    conf.write_text(SLURMDBD_CONF.format(folder=folder, port=port))
    conf.chmod(0o600)  # else slurmdbd refuses it


def make_database(folder: Path, mariadbd: str) -> None:
    """Makes MariaDB's own tables in `folder`/database: slurmdbd keeps a procedure in them.

    Raises CalledProcessError.
    """
    (folder / "database").mkdir()
    tables = "create database mysql;\nuse mysql;\n" + SYSTEM_TABLES.read_text()
    with open(folder / "mariadbd.log", "ab") as log:
        subprocess.run(
            [*mariadb_command(folder, mariadbd), "--bootstrap"],
            input=tables.encode(), stdout=log, stderr=log, check=True,
        )  # fmt: skip


def mariadb_command(folder: Path, mariadbd: str) -> list[str]:
    """The command line of a small MariaDB that no network reaches."""
    return [
        mariadbd, "--no-defaults", "--user=root", f"--datadir={folder}/database",
        f"--socket={folder}/mariadb.socket", f"--pid-file={folder}/mariadbd.pid",
        "--skip-networking", "--skip-grant-tables", "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=8M", "--innodb-flush-log-at-trx-commit=0",
    ]  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """With which slurmdbd finds its configuration, and the socket of MariaDB."""
    return os.environ | {
        "SLURM_CONF": f"{folder}/slurm.conf",
        "MYSQL_UNIX_PORT": f"{folder}/mariadb.socket",
    }
