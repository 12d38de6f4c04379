"""One namespace of a Kubernetes cluster as a runtime. One Pod is one replica."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime
from threading import Event

from deployments.runtimes.base import (
    Access,
    AnswerTooLarge,
    Capacity,
    Key,
    LaunchSpec,
    Registry,
    ReplicaStatus,
)
from deployments.runtimes.kubernetes import (
    creation,
    deletion,
    gangs,
    names,
    node_capacity,
    pull_secrets,
    secrets,
    volumes,
    watches,
)
from deployments.runtimes.kubernetes.api import Api, Refusal, nonsense_as_unavailable, pieces
from deployments.runtimes.kubernetes.output import without_errors
from deployments.runtimes.kubernetes.pods import has_ended, replica_status
from deployments.runtimes.kubernetes.spec import pod_of
from deployments.runtimes.limits import Limits
from deployments.runtimes.streams import ticking

MOST_NODES = 5000  # as Kubernetes supports at most
IDS_IN_A_SELECTOR = 100  # about 4 kB of a URL
TICK_S = 1.0
LOG_S, LOG_BYTES = 15.0, 64 * 1024 * 1024  # of a log as it is now
FOLLOW_S = 3600.0
TIDY_EVERY_S = 600.0
ASK_RIGHT_AGAIN_S = 300.0
NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


class KubernetesRuntime:
    """Starts, stops and watches the Pods of one of the platform's clusters.

    It sees and touches only Pods in `namespace` whose label has `cluster_id`.
    """

    pulls_by_itself = True

    def __init__(
        self,
        access: Access,
        *,
        cluster_id: str,
        namespace: str,
        registries: Sequence[Registry] = (),
        timeout_s: float = 10.0,
        watch_s: int = watches.WATCH_S,
        ids_in_a_selector: int = IDS_IN_A_SELECTOR,
    ) -> None:
        self._api = Api(access, timeout_s)
        self._cluster_id = cluster_id
        self._namespace = namespace
        self._registries = registries
        self._timeout_s, self._watch_s = timeout_s, watch_s
        self._ids_in_a_selector = ids_in_a_selector
        self._may_release_until = 0.0  # by the monotonic clock
        self._tidy_at = 0.0  # by the monotonic clock

    @nonsense_as_unavailable()
    def prepare(self, launch_spec: LaunchSpec) -> None:
        self._create(launch_spec)

    @nonsense_as_unavailable()
    def start(self, launch_spec: LaunchSpec) -> None:
        if launch_spec.peers is None:
            self._create(launch_spec)
            return
        where = self._api, self._namespace, launch_spec, self._cluster_id
        pods = gangs.pods_of(*where)
        if len(pods) < launch_spec.peers.replicas or any(each["gated"] for each in pods):
            self._create(launch_spec)
        else:
            gangs.begin(*where, pods)

    def _create(self, launch_spec: LaunchSpec) -> None:
        if not launch_spec.placement:
            return
        secret = (
            pull_secrets.pull_secret(self._cluster_id, self._registries)
            if self._registries
            else None
        )
        secret_name = secret["metadata"]["name"] if secret else None
        pods = [
            pod_of(launch_spec, each, self._cluster_id, secret_name)
            for each in launch_spec.placement
        ]
        creation.try_out(self._api, self._namespace, pods)
        if self._may_keep_ended(pods[0]):
            for pod in pods:
                pod["metadata"]["finalizers"] = [names.FINALIZER]
        if secret:
            pull_secrets.ensure(self._api, self._namespace, secret)
        if launch_spec.mounts:
            volumes.ensure_claims(self._api, self._namespace, launch_spec.mounts, self._cluster_id)
        for pod in pods:
            creation.create(self._api, self._namespace, pod)
        if launch_spec.secrets:
            secrets.give(self._api, self._namespace, pods, launch_spec.secrets)
        if launch_spec.peers:
            gangs.ensure_service(self._api, self._namespace, launch_spec, self._cluster_id)

    def pull(self, image: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """The kubelet of each node pulls what its Pods need."""

    @nonsense_as_unavailable()
    def stop(self, key: Key, grace_s: int, seen: str = "") -> None:
        pod = self._read_pod(key, seen)
        if pod is None or has_ended(pod):
            return
        period_s = deletion.delete(self._api, self._namespace, pod, grace_s)
        unreported = period_s == 0 or not pod["spec"].get("nodeName")  # by any kubelet
        if unreported or (grace_s <= 0 and deletion.is_overdue(pod, datetime.now(UTC))):
            deletion.release(self._api, self._namespace, pod)

    @nonsense_as_unavailable()
    def remove(self, key: Key, seen: str = "") -> None:
        pod = self._read_pod(key, seen)
        if pod is not None:
            gangs.remove(self._api, self._namespace, pod)
            deletion.delete(self._api, self._namespace, pod, 0)
            deletion.release(self._api, self._namespace, pod)

    def touched_at(self, key: Key, path: str, seen: str = "") -> datetime | None:
        """Kubernetes shows no file of a Pod without running a program in it."""
        return None

    @nonsense_as_unavailable()
    def observe(self, deployment_ids: Collection[str] | None = None) -> list[ReplicaStatus]:
        if deployment_ids is None:
            chunks: list[Sequence[str]] = [()]
        else:
            ids = sorted(set(deployment_ids))
            step = self._ids_in_a_selector
            chunks = [ids[at : at + step] for at in range(0, len(ids), step)]
        return [
            status
            for chunk in chunks
            for status in self._api.items(
                "list_namespaced_pod",
                replica_status,
                self._namespace,
                label_selector=names.selector(self._cluster_id, chunk),
            )
            if status
        ]

    @nonsense_as_unavailable()
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
        if self._read_pod(key, seen) is None:
            return iter(())
        query: names.Json = {"container": names.CONTAINER}
        if tail is not None:
            query["tailLines"] = tail
        if since is not None:
            query["sinceTime"] = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if follow:
            query["follow"] = True
        if timestamps:
            query["timestamps"] = True
        try:
            of_log = Limits(within_s or (FOLLOW_S if follow else LOG_S), most_bytes or LOG_BYTES)
            response = self._api.log(self._namespace, names.pod_name(key), query, of_log)
        except Refusal as refusal:
            # 404: the Pod is gone. 400: its container "is waiting to start", or never started.
            if refusal.status in {400, 404}:
                return iter(())
            raise
        written = pieces(response)
        if not follow:
            return without_errors(written)
        return (piece or b"" for piece in ticking(written, response.shutdown, TICK_S))

    @nonsense_as_unavailable()
    def capacity(self) -> list[Capacity]:
        # Nodes before Pods, so that a new node whose Pods are not listed does not count as empty.
        nodes = self._api.items("list_node", node_capacity.what_matters)
        if len(nodes) > MOST_NODES:
            raise AnswerTooLarge(f"The API server has more than {MOST_NODES} nodes.")
        used = self._api.items(
            "list_pod_for_all_namespaces",
            lambda pod: node_capacity.used_by(pod, self._cluster_id, self._namespace),
            field_selector=NOT_ENDED,
        )
        return node_capacity.node_capacities(nodes, used)

    def watch(self, stop: Event) -> Iterator[str | None]:
        selector = {"label_selector": names.selector(self._cluster_id)}
        how = (self._timeout_s, self._watch_s)
        pods = watches.Watched(self._api, "list_namespaced_pod", *how, (self._namespace,), selector)
        return watches.changes(pods, watches.Watched(self._api, "list_node", *how), stop)

    def tidy(self, *, leaving: bool = False) -> None:
        """Removes the Secret without registries; now and then, as another worker may create it."""
        if not self._registries and time.monotonic() >= self._tidy_at:
            pull_secrets.remove(self._api, self._namespace, self._cluster_id)
            self._tidy_at = time.monotonic() + TIDY_EVERY_S

    def close(self) -> None:
        self._api.close()

    def _read_pod(self, key: Key, seen: str = "") -> names.Json | None:
        """The Pod with this id, or else with the replica's name, if its labels name the replica
        too."""
        name, _, uid = seen.partition("/")
        pod = creation.read(self._api, self._namespace, name or names.pod_name(key))
        if pod is None or (uid and pod["metadata"]["uid"] != uid):
            return None
        identity = names.identity(self._cluster_id, key)
        return pod if identity.items() <= names.labels_of(pod).items() else None

    def _may_keep_ended(self, pod: names.Json) -> bool:
        """Whether its Pods may have the finalizer; asked for until it is so, and now and then after
        that: an older manifest may have been applied again."""
        if time.monotonic() < self._may_release_until:
            return True
        name = pod["metadata"]["name"]
        may_release = deletion.may_release(self._api, self._namespace, name)
        self._may_release_until = time.monotonic() + ASK_RIGHT_AGAIN_S if may_release else 0.0
        return may_release
