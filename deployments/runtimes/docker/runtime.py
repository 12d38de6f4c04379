"""One Docker engine as a runtime. One container is one replica; its labels name the deployment."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from threading import Event, Lock
from typing import Any

from deployments.runtimes.base import (
    Access,
    AnswerTooLarge,
    Capacity,
    Code,
    DataAwaited,
    Key,
    LaunchSpec,
    Problem,
    RefusedError,
    Registry,
    ReplicaStatus,
)
from deployments.runtimes.docker import (
    containers,
    ends,
    gpus,
    images,
    networks,
    output,
    pre_stop,
    probes,
    replica_status,
)
from deployments.runtimes.docker.client import Answered, Engine, errors_as_unavailable
from deployments.runtimes.docker.files import buckets, file_times, hostfiles, mounts, secret_files
from deployments.runtimes.docker.files.scratch import Scratch
from deployments.runtimes.docker.info import capacity
from deployments.runtimes.docker.refusals import raise_if_final
from deployments.runtimes.limits import ANSWER_BYTES
from deployments.runtimes.peers import group_of

LISTED = ("Created", "Id", "Image", "ImageID", "Labels", "Names", "State", "Status")
MOST_CONTAINERS = 5000  # of the platform, on one engine
NOTHING_INSPECTED: dict[str, Any] = {"State": {}, "Config": {}}  # of a container that is gone
MOST_NAMES = 20  # in one filter; for more deployments the whole cluster's list is read


class DockerRuntime:
    """A `Runtime`. Its node is the whole engine.

    Docker does not remember that a container has been stopped, so no replica is ever `stopping`,
    and the caller kills a container that outlives its grace, with a stop of 0 s.
    """

    pulls_by_itself = False

    def __init__(
        self,
        access: Access,
        *,
        cluster_id: str,
        node: str,
        registries: Sequence[Registry] = (),
        timeout_s: float = 10.0,
        events_quiet_s: float = output.QUIET_S,
        largest_answer: int = ANSWER_BYTES,
    ) -> None:
        self._engine = Engine(access, timeout_s, largest_answer)
        self._events_quiet_s = events_quiet_s
        self._cluster_id = cluster_id
        self._node = node
        self._registries = tuple(registries)
        self._choosing_gpus, self._lock = Lock(), Lock()
        self._starting: set[str] = set()  # ids of containers, guarded by the lock
        self._scratch = Scratch(self._engine)
        self._fetches = buckets.Fetches(self._engine, cluster_id)
        # By container id: the list does not contain it, and a container starts only once.
        self._started_at: dict[str, datetime | None] = {}
        self._signalled: set[str] = set()  # ids of containers that were stopped here
        self._digests = images.Digests(self._engine)
        self._images = images.Images(self._engine)

    @errors_as_unavailable()
    def prepare(self, launch_spec: LaunchSpec) -> None:
        self._prepare(launch_spec)

    @errors_as_unavailable()
    def start(self, launch_spec: LaunchSpec) -> None:
        # All containers are created before any starts: without the image, none has started.
        for key, container_id in self._prepare(launch_spec):
            self._start(container_id)
            if launch_spec.fetch:
                self._fetches.remove(key)

    @errors_as_unavailable()
    def pull(self, image: str, wanted: Callable[[], bool] = lambda: True) -> None:
        images.pull(self._engine, image, self._registries, wanted=wanted)
        self._images.forget()

    @errors_as_unavailable()
    def stop(self, key: Key, grace_s: int, seen: str = "") -> None:
        container = self._find(key, seen)
        if container is None:
            return
        state = container["State"]
        if state["Status"] == "created" and not state["Error"]:
            self._remove_with_network(container, key)
        elif state["Running"]:
            self._signalled.add(container["Id"])
            if grace_s > 0 and pre_stop.begin(self._engine, container):
                return
            signal = (container["Config"].get("StopSignal") or "SIGTERM") if grace_s > 0 else 9
            self._unless_gone(lambda client: client.kill(container["Id"], signal))

    @errors_as_unavailable()
    def remove(self, key: Key, seen: str = "") -> None:
        container = self._find(key, seen)
        if container is not None:
            self._remove_with_network(container, key)

    @errors_as_unavailable()
    def touched_at(self, key: Key, path: str, seen: str = "") -> datetime | None:
        return file_times.touched_at(self._engine, seen or containers.name(key), path)

    @errors_as_unavailable()
    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        if deployment_ids is not None and not deployment_ids:
            return []
        filters: dict[str, Any] = {"label": f"{containers.CLUSTER}={self._cluster_id}"}
        if deployment_ids is not None and len(deployment_ids) <= MOST_NAMES:
            filters["name"] = [f"mlops-{re.escape(wanted)}-" for wanted in deployment_ids]
        listed = self._list(filters)
        seen_ends = ends.Ends(self._engine)
        self._scratch.begin_look()
        statuses = []
        for item in listed:
            key = containers.key_of(item.get("Labels"), self._cluster_id)
            if key is None or (
                deployment_ids is not None and key.deployment_id not in deployment_ids
            ):
                continue
            status = self._status_of(key, item, seen_ends)
            if status is not None:
                renamed = f"/{containers.name(key)}" not in (item.get("Names") or ())
                statuses.append(replace(status, id=item["Id"], renamed=renamed))
        if deployment_ids is None:
            listed_ids = {item["Id"] for item in listed}
            self._signalled &= listed_ids
            self._scratch.end_look(listed_ids)
            self._started_at = {
                id_: at for id_, at in self._started_at.items() if id_ in listed_ids
            }
            self._digests.keep({item["ImageID"] for item in listed})
        return statuses

    @errors_as_unavailable()
    def logs(
        self,
        key: Key,
        seen: str = "",
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
        timestamps: bool = False,
        within_s: float | None = None,
        most_bytes: int | None = None,
    ) -> Iterator[bytes]:
        container = self._find(key, seen) or (None if seen else self._renamed(key))
        if container is None:
            return iter(())
        try:
            return output.logs(
                self._engine,
                container["Id"],
                tail,
                since,
                follow,
                timestamps=timestamps,
                within_s=within_s,
                most_bytes=most_bytes,
            )
        except Answered as error:
            if error.status == 404:
                return iter(())
            raise

    @errors_as_unavailable()
    def capacity(self) -> list[Capacity]:
        found = capacity(self._node, self._engine.call(lambda client: client.info()))
        return [replace(found, images=self._images.names())]

    def watch(self, stop: Event) -> Iterator[str | None]:
        return output.changes(self._engine, self._cluster_id, stop, self._events_quiet_s)

    @errors_as_unavailable()
    def tidy(self, *, leaving: bool = False) -> None:
        """Removes networks of gangs, and what fetches for containers, that are gone."""
        fetching = self._fetches.begin_to_tidy()  # before those for which they fetch
        if fetching or networks.any_of(self._engine, self._cluster_id):
            listed = self._list({"label": f"{containers.CLUSTER}={self._cluster_id}"})
            self._fetches.tidy(fetching, {item["Id"] for item in listed})
            keys = (containers.key_of(item.get("Labels"), self._cluster_id) for item in listed)
            used = {group_of(key.deployment_id, key.attempt) for key in keys if key}
            networks.tidy(self._engine, self._cluster_id, used, leaving=leaving)

    def close(self) -> None:
        self._engine.close()

    def _prepare(self, launch_spec: LaunchSpec) -> list[tuple[Key, str]]:
        """Create the containers that do not exist, and fetch what they mount; the ids of all that
        have not been started."""
        network = networks.own_network(launch_spec)
        if network and launch_spec.placement:
            networks.ensure(self._engine, network, self._cluster_id)
        if launch_spec.gpu:
            with self._choosing_gpus:  # the next caller sees which GPUs are taken
                created = self._create_all(launch_spec, self._unused_gpus())
        else:
            created = self._create_all(launch_spec, iter(()))
        not_started = [(key, container_id) for key, container_id in created if container_id]
        if launch_spec.peers and launch_spec.peers.reachable:
            for _, container_id in not_started:
                hostfiles.write(self._engine, container_id, launch_spec.peers)
        keep = len(not_started) < len(created)
        for _, container_id in not_started:
            secret_files.put(self._engine, container_id, launch_spec.secrets, keep=keep)
        if launch_spec.fetch and not self._fetches.are_done(not_started, launch_spec):
            raise DataAwaited
        return not_started

    def _create_all(
        self, launch_spec: LaunchSpec, unused: Iterator[str]
    ) -> list[tuple[Key, str | None]]:
        mounted, configs = [], []
        if launch_spec.mounts:
            version = self._engine.call(lambda client: str(client.api_version))
            mounted = mounts.mounts_of(launch_spec.mounts, self._cluster_id, version)
        for replica, _ in launch_spec.placement:
            key = Key(launch_spec.deployment_id, launch_spec.attempt, replica)
            taken = gpus.take(unused, launch_spec.gpu)
            config = containers.config(launch_spec, replica, self._cluster_id, taken)
            config["HostConfig"]["Mounts"] = mounted + secret_files.mounts_of(launch_spec.secrets)
            buckets.await_in(config, launch_spec, key, self._cluster_id)
            self._scratch.limit(config, launch_spec.container.ephemeral_mib)
            configs.append((key, config))
        created = [(key, self._create(key, config)) for key, config in configs]
        if launch_spec.secrets.env and all(container_id for _, container_id in created):
            return [(key, self._renew(key, config)) for key, config in configs]
        return created

    def _renew(self, key: Key, config: dict[str, Any]) -> str | None:
        """Have a container that a killed worker has left, and that has not started, get the values
        that secrets have by now. Once one of the attempt has started, all keep theirs."""
        there = self._find(key)
        if there and not set(config["Env"]) <= set(there["Config"]["Env"]):
            self._remove(there["Id"])
        return self._create(key, config)

    def _unused_gpus(self) -> Iterator[str]:
        """GPUs that no container of the platform has, those of other clusters included."""
        return gpus.unused(self._list({"label": gpus.LABEL}))

    def _list(self, filters: dict[str, Any]) -> list[dict[str, Any]]:
        """The containers, of each no more than is used of it."""

        def listed(client: Any) -> list[dict[str, Any]]:
            found = client.containers(all=True, filters=filters)
            if len(found) > MOST_CONTAINERS:  # each that has ended is inspected
                raise AnswerTooLarge(f"The engine has more than {MOST_CONTAINERS} containers.")
            return [{name: each.get(name) for name in LISTED} for each in found]

        return self._engine.call(listed)

    def _create(self, key: Key, config: dict[str, Any]) -> str | None:
        """Create the container; its id, or None where it exists already and has been started."""
        try:
            created = self._engine.call(
                lambda client: client.create_container_from_config(config, containers.name(key))
            )
        except Answered as error:
            existing = self._inspect(containers.name(key))
            if existing is None:
                if self._scratch.measures_instead(error, config):
                    return self._create(key, config)
                raise_if_final(error, config["Image"])
                raise  # a conflict: another worker creates or removes it right now
            if not self._is_ours(existing, key):
                why = "A container of others has its name."
                raise RefusedError(Problem(Code.REFUSED, why)) from error
            state = existing["State"]
            was_started = state["Status"] != "created" or state["Error"]
            return None if was_started else str(existing["Id"])
        return str(created["Id"])

    def _start(self, container_id: str) -> None:
        """Start the container. If it cannot start, it keeps the engine's message for `observe`.

        An engine starts what has ended once more. So nothing is done where another thread starts
        it, or another worker has done so since it was created.
        """
        with self._lock:
            if container_id in self._starting:
                return
            self._starting.add(container_id)
        try:
            self._start_created(container_id)
        finally:
            with self._lock:
                self._starting.discard(container_id)

    def _start_created(self, container_id: str) -> None:
        container = self._inspect(container_id)
        if container is None or container["State"]["Status"] != "created":
            return
        try:
            self._engine.call(lambda client: client.start(container_id))
        except Answered as error:
            container = self._inspect(container_id)
            if container is not None and container["State"]["Error"]:
                return
            if container is not None:
                raise_if_final(error)
            raise

    def _status_of(
        self, key: Key, item: dict[str, Any], seen_ends: ends.Ends
    ) -> ReplicaStatus | None:
        container_id = item["Id"]
        if item["State"] in {"running", "paused", "restarting"}:
            if container_id not in self._started_at:
                container = self._inspect(container_id)
                if container is None:
                    return None
                self._started_at[container_id] = replica_status.moment(
                    container["State"]["StartedAt"]
                )
            status = replica_status.running(key, self._node, item, self._started_at[container_id])
            status = replace(status, image_digest=self._digests.of(item["ImageID"], item["Image"]))
            if status.problem == Problem(Code.NOT_READY):
                answer = probes.answer(self._inspect(container_id) or NOTHING_INSPECTED)
                status = replace(status, problem=Problem(Code.NOT_READY, answer))
            full = self._scratch.problem(item)
            return replace(status, ready=False, problem=full) if full else status
        container = self._inspect(container_id)
        if container is None:
            return None
        status = replica_status.at_rest(key, self._node, container)
        digest = self._digests.of(container.get("Image"), container["Config"].get("Image"))
        status = self._fetches.explained(key, container, replace(status, image_digest=digest))
        if container_id not in self._signalled:  # else the engine need not say what ended it
            status = seen_ends.explained(container_id, status)
        return replica_status.explained(
            status, lambda: output.last_line(self._engine, container_id)
        )

    def _find(self, key: Key, seen: str = "") -> dict[str, Any] | None:
        """The container with this id, or else with the replica's name, if its labels name the
        replica too."""
        container = self._inspect(seen or containers.name(key))
        return container if container is not None and self._is_ours(container, key) else None

    def _renamed(self, key: Key) -> dict[str, Any] | None:
        """The replica's container where others have renamed it: the oldest with its labels, as any
        other is a copy of it. Inspected, as a list has ages in seconds."""
        labels = containers.labels_of(key, self._cluster_id)
        filters = {"label": [f"{name}={value}" for name, value in labels.items()]}
        found = (self._inspect(each["Id"]) for each in self._list(filters))
        return min(filter(None, found), key=containers.made_at, default=None)

    def _is_ours(self, container: dict[str, Any], key: Key) -> bool:
        return containers.key_of(container["Config"]["Labels"], self._cluster_id) == key

    def _inspect(self, name_or_id: str) -> dict[str, Any] | None:
        try:
            container: dict[str, Any] = self._engine.call(
                lambda client: client.inspect_container(name_or_id)
            )
        except Answered as error:
            if error.status == 404:
                return None
            raise
        return container

    def _remove(self, container_id: str) -> None:
        self._unless_gone(lambda client: client.remove_container(container_id, v=True, force=True))

    def _remove_with_network(self, container: dict[str, Any], key: Key) -> None:
        """Remove the container, and the network of its gang if it was the last one in it."""
        self._fetches.leave(key, container, self._remove)
        group = group_of(key.deployment_id, key.attempt)
        if container["HostConfig"].get("NetworkMode") == group:
            networks.remove(self._engine, group)

    def _unless_gone(self, work: Callable[[Any], object]) -> None:
        try:
            self._engine.call(work)
        except Answered as error:
            if error.status not in {304, 404, 409}:  # done already, gone, or being removed
                raise
