"""The runtime interface, over one namespace of a Kubernetes cluster."""

import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from threading import Event

from deployments.runtimes.base import (
    Access,
    Capacity,
    Key,
    LaunchSpec,
    Registry,
    ReplicaStatus,
)
from deployments.runtimes.kubernetes import (
    creation,
    names,
    node_capacity,
    watches,
)
from deployments.runtimes.kubernetes import (
    pull_secrets as registries,
)
from deployments.runtimes.kubernetes.api import Api, Refusal, pieces
from deployments.runtimes.kubernetes.deletion import grace_to_ask
from deployments.runtimes.kubernetes.pods import has_ended, replica_status
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.runtimes.streams import ticking

IDS_IN_A_SELECTOR = 100  # some 4 kB of an address
TICK_S = 1.0
TIDY_EVERY_S = 600.0
NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


class KubernetesRuntime:
    """Starts, stops and watches the Pods of one cluster of ours.

    Only Pods of `namespace` whose label bears `cluster_id` are ever seen or touched.
    """

    def __init__(
        self,
        access: Access,
        *,
        cluster_id: str,
        namespace: str,
        registries: Sequence[Registry] = (),
        timeout_s: float = 10.0,
    ) -> None:
        self._api = Api(access, timeout_s)
        self._cluster_id = cluster_id
        self._namespace = namespace
        self._registries = registries
        self._timeout_s = timeout_s
        self._tidy_at = 0.0  # by the monotonic clock

    def start(self, launch_spec: LaunchSpec) -> None:
        if not launch_spec.placement:
            return
        secret = (
            registries.pull_secret(self._cluster_id, self._registries) if self._registries else None
        )
        secret_name = secret["metadata"]["name"] if secret else None
        pods = [
            pod_of(launch_spec, place, self._cluster_id, secret_name)
            for place in launch_spec.placement
        ]
        creation.try_out(self._api, self._namespace, pods)
        if secret:
            registries.ensure(self._api, self._namespace, secret)
        for pod in pods:
            creation.create(self._api, self._namespace, pod)

    def pull(self, image: str) -> None:
        """The kubelet of each node pulls what its Pods need."""

    def stop(self, key: Key, grace_s: int) -> None:
        pod = self._ours(key)
        if pod is not None and not has_ended(pod):
            self._delete(pod, grace_s)

    def remove(self, key: Key) -> None:
        pod = self._ours(key)
        if pod is not None:
            self._delete(pod, 0)

    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        if deployment_ids is None:
            chunks: list[Sequence[str]] = [()]
        else:
            ids = sorted(set(deployment_ids))
            step = IDS_IN_A_SELECTOR
            chunks = [ids[at : at + step] for at in range(0, len(ids), step)]
        return [
            seen
            for chunk in chunks
            for pod in self._api.items(
                "list_namespaced_pod",
                self._namespace,
                label_selector=names.selector(self._cluster_id, chunk),
            )
            if (seen := replica_status(pod))
        ]

    def logs(
        self,
        key: Key,
        *,
        tail: int | None = None,
        since: datetime | None = None,
        follow: bool = False,
    ) -> Iterator[bytes]:
        if self._ours(key) is None:
            return iter(())
        query: names.Json = {"container": names.CONTAINER}
        if tail is not None:
            query["tailLines"] = tail
        if since is not None:
            query["sinceTime"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if follow:
            query["follow"] = True
        try:
            response = self._api.log(self._namespace, names.pod_name(key), query)
        except Refusal as refusal:
            # Gone in between, or a 400: its container "is waiting to start", or never came.
            if refusal.status in {400, 404}:
                return iter(())
            raise
        written = pieces(response)
        if not follow:
            return written
        return (piece or b"" for piece in ticking(written, response.shutdown, TICK_S))

    def capacity(self) -> list[Capacity]:
        # Nodes before Pods: one that comes in between is then not taken for an empty one.
        nodes = self._api.items("list_node")
        pods = self._api.items("list_pod_for_all_namespaces", field_selector=NOT_ENDED)
        return node_capacity.node_capacities(nodes, pods, self._cluster_id, self._namespace)

    def watch(self, stop: Event) -> Iterator[str | None]:
        selector = names.selector(self._cluster_id)
        return watches.changes(self._api, self._namespace, selector, stop, self._timeout_s)

    def tidy(self) -> None:
        """The Secret, once there are no registries; now and then, since others may have made it."""
        if not self._registries and time.monotonic() >= self._tidy_at:
            registries.remove(self._api, self._namespace, self._cluster_id)
            self._tidy_at = time.monotonic() + TIDY_EVERY_S

    def close(self) -> None:
        self._api.close()

    def _ours(self, key: Key) -> names.Json | None:
        """The replica's Pod, unless it is somebody else's that happens to bear its name."""
        pod = creation.read(self._api, self._namespace, names.pod_name(key))
        ours = names.identity(self._cluster_id, key)
        return pod if pod and ours.items() <= names.labels_of(pod).items() else None

    def _delete(self, pod: names.Json, grace_s: int) -> None:
        """Deletes this very Pod; a namesake that has come since is another one's business."""
        asked = grace_to_ask(pod, grace_s, datetime.now(UTC))
        if asked is None:
            return
        uid = pod["metadata"]["uid"]
        body = {"gracePeriodSeconds": asked, "preconditions": {"uid": uid}}
        try:
            self._api.call(
                "delete_namespaced_pod", pod["metadata"]["name"], self._namespace, body=body
            )
        except Refusal as refusal:
            if refusal.status not in {404, 409}:
                raise
