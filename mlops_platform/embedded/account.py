"""The accounts that the servers run under where root starts them: one for each server alone.

PostgreSQL refuses to run as root, and no server needs root's rights. An account that other programs
use as well, such as `nobody`, would let these read the data and pose as the server.

An account must reach its server's program and data, which may lie below a folder that only root may
enter (a checkout in /root). Opening such folders would weaken the machine for good. The server
keeps one capability of root instead, the one that passes through folders and reads.
"""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_platform.embedded.process import EmbeddedServerError

GROUP = "mlops-embedded"  # of all these accounts: it may pass through the folders above their data
SHARED = "nobody"  # of earlier versions, and where this system lets root create no account
ATTEMPTS, PAUSE_S = 20, 0.1  # while another process changes the system's accounts
CAPABILITIES = {"dac_read_search": 2, "dac_override": 1}  # and their bits; the weaker one first


@dataclass(frozen=True)
class Account:
    """How to start a process under an account: a command prefix, arguments for Popen, and the owner
    that the process's folders must have."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()
    popen: Mapping[str, Any] = field(default_factory=dict)

    def give(self, path: Path) -> None:
        """Make this account the owner of the folder, closed to all others."""
        path.chmod(0o700)
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid)


def account_for(name: str, *, data: Path, socket: Path, binary: Path) -> Account:
    """The account for the server of this data folder: the present one; for root `name`, which is
    created where it is missing, or the owner of data that a user other than root has made.

    The account may then pass through the folders above the data's and the socket's.

    Raises EmbeddedServerError where no account will do.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    entry = _owner_of(data) or _own_account(name)
    uid, gid = entry.pw_uid, entry.pw_gid
    for folder in (data.parent, socket.parent.parent):
        _let_pass(gid, folder)
    steps = (binary, *binary.parents, *data.parents, *socket.parent.parents)
    if all(_may_pass(step, uid, gid) for step in steps):
        return Account(uid, gid, popen={"user": uid, "group": gid, "extra_groups": []})
    setpriv, capability = shutil.which("setpriv"), _capability()
    if setpriv is None or capability is None:
        raise EmbeddedServerError(
            f"No server runs as root here, and no other account can reach {data.parent}: "
            "run as a normal user, move the checkout, or install setpriv (util-linux)."
        )
    identity = ("--reuid", str(uid), "--regid", str(gid), "--clear-groups")
    # no_setuid_fixup makes access(2) respect the capability; PostgreSQL checks programs with it.
    kept = ("--inh-caps", f"+{capability}", "--ambient-caps", f"+{capability}")
    return Account(
        uid, gid, prefix=(setpriv, *identity, *kept, "--securebits", "+no_setuid_fixup", "--")
    )


def adopt(data: Path, account: Account) -> None:
    """Give data of root or `nobody`, which earlier versions made, to the account.

    The folder itself comes last, so that a killed attempt is made again.
    """
    before = data.stat().st_uid
    if os.geteuid() != 0 or before == account.uid:
        return
    for _, folders, files, descriptor in os.fwalk(data, topdown=False):
        for name in (*folders, *files):
            if os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid == before:
                os.chown(name, account.uid, account.gid, dir_fd=descriptor, follow_symlinks=False)
    account.give(data)


def _owner_of(data: Path) -> pwd.struct_passwd | None:
    """The user who made the data, whose data it stays; None for root and `nobody`."""
    uid = data.stat().st_uid if data.exists() else 0
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return None
    return None if uid == 0 or found.pw_name == SHARED else found


def _own_account(name: str) -> pwd.struct_passwd:
    """The account of that name, created if need be; `nobody` where that cannot be done."""
    for _ in range(ATTEMPTS):
        if (found := _account(name)) is not None:
            return found
        if shutil.which("useradd") is None or shutil.which("groupadd") is None:
            break
        options = ["--no-create-home", "--home-dir=/nonexistent", "--shell=/usr/sbin/nologin"]
        _run("groupadd", "--system", "--force", GROUP)
        _run("useradd", "--system", "--gid", GROUP, *options, name)
        if (found := _account(name)) is not None:
            return found
        time.sleep(PAUSE_S)
    if (found := _account(SHARED)) is None:
        raise EmbeddedServerError(
            "No server runs as root here and this system has no account to lend it: "
            "run as a normal user."
        )
    sys.stderr.write(
        f"The account {name} could not be created, so its server runs as {SHARED}, as other "
        "programs may: create the account, or run as a normal user.\n"
    )
    return found


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _run(*command: str) -> None:
    subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL)


def _let_pass(gid: int, folder: Path) -> None:
    """Let the group pass through a folder of root's that is closed to others; not list it."""
    found = folder.stat()
    if found.st_uid == 0 and not found.st_mode & stat.S_IXOTH:
        os.chown(folder, 0, gid)
        folder.chmod(0o710)


def _may_pass(path: Path, uid: int, gid: int) -> bool:
    """Whether the account may run this program, or enter this folder."""
    found = path.stat()
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH))


def _capability() -> str | None:
    """The weakest capability that this process has and that passes through closed folders."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    permitted = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm")), 0)
    return next((name for name, bit in CAPABILITIES.items() if permitted >> bit & 1), None)
