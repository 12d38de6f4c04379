"""Fetches buckets into the volumes of a container that has been created and not started.

A container of the platform's own image does it, beside the other one, and goes when that starts, or
is removed. The credentials lie in a volume of its own. The volumes that it fills have names of the
attempt's, as an engine mounts no volume without one read-only; they go with the other container.
"""

import io
import json
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deployments.runtimes.base import (
    Code,
    ImageMissing,
    Key,
    LaunchSpec,
    Phase,
    Problem,
    RefusedError,
    ReplicaStatus,
    one_line,
)
from deployments.runtimes.docker import containers, output
from deployments.runtimes.docker.client import Answered, Engine
from deployments.runtimes.fetches import (
    COMMAND,
    DELAYED,
    DOCUMENT,
    FAILED,
    FOLDER,
    LEAST_CPU_MILLI,
    LEAST_RAM_MIB,
    Fetch,
)

AWAITS = f"{containers.LABEL}.awaits-buckets"  # of the container that mounts them
FETCHED = f"{containers.LABEL}.fetched"  # of a volume
OF = f"{containers.LABEL}.fetches-for"  # of the one that fetches: the id of the other
TRY = f"{containers.LABEL}.fetch-try"
MOST_TRIES = 3  # of what ends otherwise than the program does, as when its engine is restarted
TIDY_EVERY_S = 60.0
STEPS = 10  # of progress that are shown
NO_NETWORK = "Buckets are fetched by network, and the cluster's sandbox has none."


class Fetches:
    """Those of one cluster on one engine."""

    def __init__(self, engine: Engine, cluster_id: str) -> None:
        self._engine = engine
        self._cluster_id = cluster_id
        self._tidy_at = 0.0  # by the monotonic clock

    def are_done(self, awaiting: Sequence[tuple[Key, str]], launch_spec: LaunchSpec) -> bool:
        """Whether all is there that these containers mount; begins to fetch, for all of them, what
        nothing fetches yet.

        Raises ImageMissing, and RefusedError where it cannot be fetched.
        """
        done = [self._is_done(*each, launch_spec) for each in awaiting]
        return all(done)

    def _is_done(self, key: Key, container_id: str, launch_spec: LaunchSpec) -> bool:
        there, number = self._of(key), 1
        if there is not None and there["Config"]["Labels"].get(OF) != container_id:
            self.remove(key)  # of a container that is gone
            there = None
        if there is not None and there["State"].get("Running"):
            return False
        if there is not None and _has_ended(there):
            exit_code = there["State"]["ExitCode"]
            if exit_code == 0:
                return True
            if exit_code in (FAILED, DELAYED):  # `observe` shows it
                return False
            number = int(there["Config"]["Labels"].get(TRY, "1")) + 1
            if number > MOST_TRIES:
                said = f"It has ended with exit code {exit_code}, {MOST_TRIES} times."
                raise RefusedError(Problem(Code.FETCH_FAILED, said))
            self.remove(key)
            there = None
        id_ = there["Id"] if there else self._create(key, container_id, launch_spec, number)
        self._begin(id_, launch_spec)
        return False

    def explained(self, key: Key, awaiting: dict[str, Any], status: ReplicaStatus) -> ReplicaStatus:
        """The status of a container that has not been started, with what is fetched for it."""
        if AWAITS not in awaiting["Config"]["Labels"] or status.phase != Phase.PENDING:
            return status
        fetching = self._of(key)
        if fetching is None or fetching["Config"]["Labels"].get(OF) != awaiting["Id"]:
            return status
        if fetching["State"].get("Running"):
            return replace(status, begun=True, problem=_progress(self._last_line(fetching["Id"])))
        exit_code = fetching["State"]["ExitCode"] if _has_ended(fetching) else None
        if exit_code not in (FAILED, DELAYED):
            return status
        code = Code.FETCH_FAILED if exit_code == FAILED else Code.FETCH_DELAYED
        problem = Problem(code, one_line(self._last_line(fetching["Id"]).get("said", "")))
        return replace(status, begun=True, phase=Phase.ENDED, problem=problem)

    def remove(self, key: Key) -> None:
        """Remove what fetches for the replica, at once; what it has fetched stays."""
        fetching = self._of(key)
        if fetching is not None:
            self._remove(fetching["Id"])

    def leave(self, key: Key, awaiting: dict[str, Any], remove: Callable[[str], None]) -> None:
        """Remove the replica's container by `remove`, with what fetches for it, and what is there
        already."""
        if AWAITS not in awaiting["Config"]["Labels"]:
            remove(awaiting["Id"])
            return
        self.remove(key)
        remove(awaiting["Id"])
        for name in _volumes(key, awaiting):
            self._remove_volume(name)

    def begin_to_tidy(self) -> dict[str, str]:
        """Remove what was fetched for containers that others have removed; the ids of containers
        that fetch, with those for which they do."""
        self._tidy_volumes()
        filters = {"label": [f"{containers.CLUSTER}={self._cluster_id}", OF]}
        listed: list[dict[str, Any]] = self._engine.call(
            lambda client: client.containers(all=True, filters=filters)
        )
        return {each["Id"]: each["Labels"][OF] for each in listed}

    def tidy(self, fetching: Mapping[str, str], ids: set[str]) -> None:
        """Remove those of `fetching` that do so for none of these containers."""
        for id_, awaiting in fetching.items():
            if awaiting not in ids:
                self._remove(id_)

    def _tidy_volumes(self) -> None:
        """Now and then."""
        if time.monotonic() < self._tidy_at:
            return
        self._tidy_at = time.monotonic() + TIDY_EVERY_S
        labels = [f"{containers.CLUSTER}={self._cluster_id}", FETCHED]
        filters = {"label": labels, "dangling": True}
        found = self._engine.call(lambda client: client.volumes(filters=filters))
        for each in found["Volumes"] or ():
            self._remove_volume(each["Name"])

    def _create(self, key: Key, container_id: str, launch_spec: LaunchSpec, number: int) -> str:
        assert launch_spec.fetch is not None
        awaiting = self._engine.call(lambda client: client.inspect_container(container_id))
        names = {each["Destination"]: each.get("Name", "") for each in awaiting["Mounts"]}
        body = _body(launch_spec, launch_spec.fetch, names)
        body["Labels"] = {
            containers.CLUSTER: self._cluster_id,
            containers.DEPLOYMENT: key.deployment_id,
            OF: container_id,
            TRY: str(number),
        }
        try:
            created = self._engine.call(
                lambda client: client.create_container_from_config(body, _name(key))
            )
        except Answered as error:
            if error.status == 404 and "no such image" in str(error).lower():
                raise ImageMissing(launch_spec.fetch.image) from error
            raise
        return str(created["Id"])

    def _begin(self, id_: str, launch_spec: LaunchSpec) -> None:
        archive = _archive(launch_spec.secrets.document)
        self._engine.call(lambda client: client.put_archive(id_, FOLDER, archive))
        try:
            self._engine.call(lambda client: client.start(id_))
        except Answered as error:
            if error.status not in {400, 404}:
                raise
            raise RefusedError(Problem(Code.FETCH_FAILED, str(error))) from error

    def _of(self, key: Key) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self._engine.call(
                lambda client: client.inspect_container(_name(key))
            )
        except Answered as error:
            if error.status == 404:
                return None
            raise
        labels = found["Config"].get("Labels") or {}
        return found if labels.get(containers.CLUSTER) == self._cluster_id else None

    def _last_line(self, id_: str) -> dict[str, Any]:
        """What the program has said last."""
        line = output.last_line(self._engine, id_)
        try:
            said = json.loads(line)
        except ValueError:
            return {"said": line}
        return said if isinstance(said, dict) else {"said": line}

    def _remove_volume(self, name: str) -> None:
        try:
            self._engine.call(lambda client: client.remove_volume(name))
        except Answered as error:
            if error.status not in {404, 409}:  # gone, or in use after all
                raise

    def _remove(self, id_: str) -> None:
        try:
            self._engine.call(lambda client: client.remove_container(id_, v=True, force=True))
        except Answered as error:
            if error.status not in {404, 409}:  # gone, or being removed
                raise


def await_in(config: dict[str, Any], launch_spec: LaunchSpec, key: Key, cluster_id: str) -> None:
    """Add to the body of POST /containers/create what the container reads that is fetched."""
    if launch_spec.fetch is None:
        return
    config["Labels"][AWAITS] = "1"
    labels = {containers.CLUSTER: cluster_id, FETCHED: "1"}
    config["HostConfig"]["Mounts"] += [
        {
            "Type": "volume",
            "Source": f"{_prefix(key)}{number}",
            "Target": path,
            "ReadOnly": True,
            "VolumeOptions": {"NoCopy": True, "Labels": labels},
        }
        for number, path in enumerate(launch_spec.fetch.buckets)
    ]


def _name(key: Key) -> str:
    return f"{containers.name(key)}-fetch"


def _prefix(key: Key) -> str:
    """No volume of a cluster has a dot in its name, so this is none that an ADMIN offers."""
    return f"{containers.name(key)}.fetched-"


def _volumes(key: Key, awaiting: dict[str, Any]) -> list[str]:
    names = (str(each.get("Name", "")) for each in awaiting["Mounts"])
    return [name for name in names if name.startswith(_prefix(key))]


def _has_ended(container: dict[str, Any]) -> bool:
    return container["State"]["Status"] in {"exited", "dead"}


def _progress(said: dict[str, Any]) -> Problem:
    """In steps, so that the timeline of the deployment has few entries."""
    if "retry_in_s" in said:
        return Problem(Code.FETCH_DELAYED, one_line(said.get("said", "")))
    fetched, total = said.get("fetched_mib"), said.get("total_mib")
    if not isinstance(fetched, int) or not isinstance(total, int) or total <= 0:
        return Problem(Code.FETCHING_DATA)
    step = fetched * STEPS // total
    return Problem(Code.FETCHING_DATA, f"{step * total // STEPS} of {total} MiB")


def _body(launch_spec: LaunchSpec, fetch: Fetch, names: dict[str, str]) -> dict[str, Any]:
    """It may do what the deployment's own container may, and less: root without capabilities, as
    only root may write an empty volume."""
    if launch_spec.sandbox.network == "none":
        raise RefusedError(Problem(Code.FETCH_FAILED, NO_NETWORK))
    memory = max(launch_spec.ram_mib, LEAST_RAM_MIB) * containers.MIB
    mounts: Sequence[tuple[str | None, str]] = [
        (None, FOLDER),
        *((names[path], fetch.folder(path)) for path in fetch.buckets),
    ]
    return {
        "Image": fetch.image,
        "Entrypoint": list(COMMAND),
        "User": "0:0",
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NanoCpus": max(launch_spec.cpu_milli, LEAST_CPU_MILLI) * 1_000_000,
            "Memory": memory,
            "MemorySwap": memory,
            "PidsLimit": 256,
            "RestartPolicy": {"Name": "no"},
            "Init": True,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "ReadonlyRootfs": True,
            "NetworkMode": containers.network_of(launch_spec.sandbox),
            "IpcMode": "private",
            "CgroupnsMode": "private",
            "Mounts": [
                {
                    "Type": "volume",
                    "Target": path,
                    "VolumeOptions": {"NoCopy": True},
                    **({"Source": name} if name else {}),
                }
                for name, path in mounts
            ],
        },
    }


def _archive(document: str) -> bytes:
    text = document.encode()
    entry = tarfile.TarInfo(DOCUMENT)
    entry.size, entry.mode = len(text), 0o400
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(text))
    return written.getvalue()
