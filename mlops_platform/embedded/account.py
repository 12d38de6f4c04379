"""The account that PostgreSQL runs under: it refuses to run as root, so root gives it another one.

That account must reach PostgreSQL's binaries and data, which may lie below a folder that only root
may enter (a checkout in /root). Opening such folders would weaken the machine for good. The server
keeps one capability of root instead, the one that reads past folder permissions, and its socket
stays in a folder that only root can enter.
"""

import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_platform.embedded.process import EmbeddedServerError

UNPRIVILEGED = "nobody"


@dataclass(frozen=True)
class Account:
    """How to start a process under an account: a command prefix, arguments for Popen, and the owner
    that the process's folders must have."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    popen: Mapping[str, Any] = field(default_factory=dict)
    enters_root_folders: bool = False

    def give(self, path: Path) -> None:
        """Make this account the owner of the folder, closed to all others."""
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def account_for(cluster: Path, *, binary: Path) -> Account:
    """The account for the PostgreSQL of this data folder: the present one; for root the data's
    owner, or `nobody` where there is no data yet.

    Raises EmbeddedServerError where no account will do.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    uid = cluster.stat().st_uid if cluster.exists() else 0
    try:
        entry = pwd.getpwuid(uid) if uid else pwd.getpwnam(UNPRIVILEGED)
    except KeyError as error:
        raise EmbeddedServerError(
            "PostgreSQL does not run as root and this system has no account to lend it: "
            "run as a normal user."
        ) from error
    uid, gid = entry.pw_uid, entry.pw_gid
    if _open_to_all(binary) and _open_to_all(cluster.parent):
        return Account(uid, gid, popen={"user": uid, "group": gid, "extra_groups": []})
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and no other account can reach {cluster.parent}: "
            "run as a normal user, move the checkout, or install setpriv (util-linux)."
        )
    identity = ("--reuid", str(uid), "--regid", str(gid), "--clear-groups")
    # no_setuid_fixup makes access(2) respect the capability; PostgreSQL checks programs with it.
    capability = ("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")
    command = (setpriv, *identity, *capability, "--securebits", "+no_setuid_fixup", "--")
    return Account(uid, gid, prefix=command, enters_root_folders=True)


def _open_to_all(path: Path) -> bool:
    """Whether every account may use `path`: run the program or enter the folder, and each folder
    above it.
    """
    return all(step.stat().st_mode & stat.S_IXOTH for step in (path, *path.parents))
