"""Limits what a container writes beside its volumes: its scratch, `ephemeral_mib`.

Where the engine's storage driver can (overlay2 on XFS with project quotas, btrfs, zfs), it enforces
the limit itself, and a write beyond it fails as on a full disk. Elsewhere the platform measures the
writable layers now and then, which takes the engine as long as it takes to list their files, and
has a container ended that has more. Between two measurements it may have more.
"""

import re
import time
from typing import Any

from deployments.runtimes.base import Code, Problem, RuntimeUnavailable
from deployments.runtimes.docker.client import Answered, Engine

LABEL = "mlops-platform.ephemeral_mib"  # of a container that the platform has to measure
MIB = 1024 * 1024
EVERY_S = 15.0  # between two measurements of a container
SLOWLY = 50  # times what the last one took, where that is longer
FAILED_S = 300.0  # after a measurement that the engine has not answered
OF_A_LOOK_S = 1.0  # within one look at all containers

_NO_QUOTAS = re.compile(r"storage-opt|storage opt|quota", re.IGNORECASE)


class Scratch:
    """What containers of one engine have written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._has_quotas = True  # until the engine says otherwise
        self._due: dict[str, float] = {}  # by container id, by the monotonic clock
        self._until = 0.0

    def limit(self, config: dict[str, Any], ephemeral_mib: int | None) -> None:
        """Add the limit to the body of POST /containers/create."""
        if ephemeral_mib is None:
            return
        if self._has_quotas:
            config["HostConfig"]["StorageOpt"] = {"size": f"{ephemeral_mib}m"}
        else:
            config["Labels"][LABEL] = str(ephemeral_mib)

    def measures_instead(self, error: Answered, config: dict[str, Any]) -> bool:
        """Whether the engine has refused the container since it has no quotas. From then on the
        platform measures, and the body asks for no quota any more."""
        asked = config["HostConfig"].get("StorageOpt")
        if not asked or not _NO_QUOTAS.search(str(error)):
            return False
        self._has_quotas = False
        del config["HostConfig"]["StorageOpt"]
        config["Labels"][LABEL] = asked["size"].removesuffix("m")
        return True

    def begin_look(self) -> None:
        self._until = time.monotonic() + OF_A_LOOK_S

    def end_look(self, ids: set[str]) -> None:
        """Forget the containers that are gone."""
        self._due = {id_: due for id_, due in self._due.items() if id_ in ids}

    def problem(self, listed: dict[str, Any]) -> Problem | None:
        """OUT_OF_DISK where the running container has written more than it may; asks the engine
        where it is due, and there is time left of this look."""
        most = (listed.get("Labels") or {}).get(LABEL, "")
        id_, now = listed["Id"], time.monotonic()
        if not most.isdecimal() or now > self._until or now < self._due.get(id_, 0.0):
            return None
        try:
            written = self._engine.call(lambda client: _written(client, id_))
        except RuntimeUnavailable:  # of a very large layer; it is observed all the same
            self._due[id_] = time.monotonic() + FAILED_S
            return None
        took = time.monotonic() - now
        if written > int(most) * MIB:
            said = f"it has written {written // MIB} MiB, and may write {most}"
            return Problem(Code.OUT_OF_DISK, said)
        self._due[id_] = time.monotonic() + max(EVERY_S, SLOWLY * took)
        return None


def _written(client: Any, id_: str) -> int:
    found = client.containers(all=True, size=True, filters={"id": id_})
    return int(found[0].get("SizeRw") or 0) if found else 0
