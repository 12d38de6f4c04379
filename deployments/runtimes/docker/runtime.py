"""One Docker engine as a runtime. One container is one replica; its labels say whose."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from threading import Event, Lock
from typing import Any

from deployments.runtimes.base import (
    Access,
    Capacity,
    Code,
    ImageMissing,
    Key,
    LaunchSpec,
    Problem,
    RefusedError,
    Registry,
    ReplicaStatus,
)
from deployments.runtimes.docker import containers, gpus, images, output, replica_status
from deployments.runtimes.docker.client import Answered, Engine, understood
from deployments.runtimes.docker.info import capacity

MOST_NAMES = 20  # in one filter; for more deployments the whole cluster's list is read


class DockerRuntime:
    """A `Runtime`. Its node is the whole engine.

    Docker does not remember that a container has been told to end, so none is ever `stopping`;
    and whoever outlives its grace is killed by the caller, with a stop of 0 s.
    """

    def __init__(
        self,
        access: Access,
        *,
        cluster_id: str,
        node: str,
        registries: Sequence[Registry] = (),
        timeout_s: float = 10.0,
    ) -> None:
        self._engine = Engine(access, timeout_s)
        self._cluster_id = cluster_id
        self._node = node
        self._registries = tuple(registries)
        self._choosing = Lock()
        # By container, since the list does not tell, and a container of ours begins only once.
        self._started_at: dict[str, datetime | None] = {}

    @understood()
    def start(self, launch: LaunchSpec) -> None:
        # All are made before any begins: without its image, nothing has started.
        if launch.gpu:
            with self._choosing:  # whoever looks next sees what has been taken
                made = self._make_all(launch, self._unused_gpus())
        else:
            made = self._make_all(launch, iter(()))
        for container_id in made:
            if container_id is not None:
                self._begin(container_id)

    @understood()
    def pull(self, image: str) -> None:
        images.pull(self._engine, image, self._registries)

    @understood()
    def stop(self, key: Key, grace_s: int) -> None:
        container = self._find(key)
        if container is None:
            return
        state = container["State"]
        if state["Status"] == "created" and not state["Error"]:
            self._remove(container["Id"])
        elif state["Running"]:
            signal = (container["Config"].get("StopSignal") or "SIGTERM") if grace_s > 0 else 9
            self._unless_gone(lambda client: client.kill(container["Id"], signal))

    @understood()
    def remove(self, key: Key) -> None:
        container = self._find(key)
        if container is not None:
            self._remove(container["Id"])

    @understood()
    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        if deployment_ids is not None and not deployment_ids:
            return []
        filters: dict[str, Any] = {"label": f"{containers.CLUSTER}={self._cluster_id}"}
        if deployment_ids is not None and len(deployment_ids) <= MOST_NAMES:
            filters["name"] = [f"mlops-{re.escape(wanted)}-" for wanted in deployment_ids]
        listed = self._engine.call(lambda client: client.containers(all=True, filters=filters))
        seen = []
        for item in listed:
            key = containers.key_of(item.get("Labels"), self._cluster_id)
            if key is None or (
                deployment_ids is not None and key.deployment_id not in deployment_ids
            ):
                continue
            sighting = self._sight(key, item)
            if sighting is not None:
                seen.append(sighting)
        if deployment_ids is None:
            there = {item["Id"] for item in listed}
            self._started_at = {
                known: at for known, at in self._started_at.items() if known in there
            }
        return seen

    @understood()
    def logs(
        self,
        key: Key,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Iterator[bytes]:
        container = self._find(key)
        if container is None:
            return iter(())
        try:
            return output.logs(self._engine, container["Id"], tail, since, follow)
        except Answered as error:
            if error.status == 404:
                return iter(())
            raise

    @understood()
    def capacity(self) -> list[Capacity]:
        return [capacity(self._node, self._engine.call(lambda client: client.info()))]

    def watch(self, stop: Event) -> Iterator[str | None]:
        return output.changes(self._engine, self._cluster_id, stop)

    def tidy(self) -> None:
        """An engine is told credentials with each pull, and keeps none."""

    def close(self) -> None:
        self._engine.close()

    def _make_all(self, launch: LaunchSpec, unused: Iterator[str]) -> list[str | None]:
        made = []
        for place in launch.places:
            key = Key(launch.deployment_id, launch.attempt, place.replica)
            taken = gpus.take(unused, launch.gpu)
            config = containers.config(launch, place.replica, self._cluster_id, taken)
            made.append(self._make(key, config))
        return made

    def _unused_gpus(self) -> Iterator[str]:
        """Of all the platform's containers on the engine, those of other clusters included."""
        filters = {"label": gpus.LABEL}
        return gpus.unused(
            self._engine.call(lambda client: client.containers(all=True, filters=filters))
        )

    def _make(self, key: Key, config: dict[str, Any]) -> str | None:
        """The id of a container that has yet to begin; None where it has."""
        try:
            made = self._engine.call(
                lambda client: client.create_container_from_config(config, containers.name(key))
            )
        except Answered as error:
            there = self._inspect(containers.name(key))
            if there is None:
                _judge(error, config["Image"])
                raise  # if it is a conflict, another worker makes it, or removes it, right now
            if not self._is_ours(there, key):
                why = "A container of others has its name."
                raise RefusedError(Problem(Code.REFUSED, why)) from error
            state = there["State"]
            begun = state["Status"] != "created" or state["Error"]
            return None if begun else str(there["Id"])
        return str(made["Id"])

    def _begin(self, container_id: str) -> None:
        """Whoever cannot begin keeps the engine's sentence, where `observe` finds it."""
        try:
            self._engine.call(lambda client: client.start(container_id))
        except Answered as error:
            container = self._inspect(container_id)
            if container is not None and container["State"]["Error"]:
                return
            if container is not None:
                _judge(error)
            raise

    def _sight(self, key: Key, item: dict[str, Any]) -> ReplicaStatus | None:
        container_id = item["Id"]
        if item["State"] in {"running", "paused", "restarting"}:
            if container_id not in self._started_at:
                container = self._inspect(container_id)
                if container is None:
                    return None
                self._started_at[container_id] = replica_status.moment(
                    container["State"]["StartedAt"]
                )
            return replica_status.running(key, self._node, item, self._started_at[container_id])
        container = self._inspect(container_id)
        if container is None:
            return None
        sighting = replica_status.at_rest(key, self._node, container)
        return replica_status.explained(sighting, lambda: self._last_words(container_id))

    def _last_words(self, container_id: str) -> str:
        try:
            said = output.logs(self._engine, container_id, 1, None, follow=False)
        except Answered:  # gone meanwhile, or its log is
            return ""
        return b"".join(said).decode(errors="replace")

    def _find(self, key: Key) -> dict[str, Any] | None:
        """By its name; and it is ours only if its labels say so too."""
        container = self._inspect(containers.name(key))
        return container if container is not None and self._is_ours(container, key) else None

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

    def _unless_gone(self, work: Callable[[Any], object]) -> None:
        try:
            self._engine.call(work)
        except Answered as error:
            if error.status not in {304, 404, 409}:  # done already, gone, or on its way
                raise


def _judge(error: Answered, image: str = "") -> None:
    """Raise what it means that a container is not made, or does not begin, where that is final."""
    if error.status == 404 and "no such image" in str(error).lower():
        raise ImageMissing(image) from error
    if error.status in {400, 404, 422}:
        raise RefusedError(Problem(Code.REFUSED, str(error))) from error
