"""Observes a cluster's endpoints in parallel: what runs there, and which of them answer."""

import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar
from uuid import UUID

from clusters.endpoints.error_texts import ALREADY_ATTACHED
from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.models import Runtime as RuntimeKind
from deployments import runtime_connections
from deployments.models import Deployment
from deployments.queries.placements import node_ids
from deployments.reconciler import circuit_breaker
from deployments.runtimes import limits
from deployments.runtimes.base import (
    AccessDenied,
    Capacity,
    Key,
    LimitExceeded,
    OutOfTime,
    Registry,
    ReplicaStatus,
    Runtime,
    RuntimeUnavailable,
    one_line,
)
from mlops_platform.api.ids import parse_uuid
from mlops_platform.sealing import Unsealable

MOST_CALLS_AT_ONCE = 8  # to the endpoints of one cluster
ENDPOINT_S = 15.0  # for all that one endpoint is asked in one observation
ALL_ENDPOINTS_S = 25.0  # for one observation of all of them
MOST_FAILURES = 3  # of calls to an endpoint that has answered in this round
MAX_INTEGER = 2**31 - 1  # of a column
T = TypeVar("T")
R = TypeVar("R")


def in_parallel(name: str, call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results in the order of the items; `name` is that of the threads, which keep to the
    caller's deadline."""
    with ThreadPoolExecutor(MOST_CALLS_AT_ONCE, name) as pool:
        results = [pool.submit(copy_context().run, call, each) for each in items]
        return [each.result() for each in results]


@dataclass
class EndpointView:
    """What an endpoint shows. With an `error` it shows nothing, and nothing is known of it."""

    endpoint: Endpoint
    runtime: Runtime | None = None
    replica_statuses: dict[Key, ReplicaStatus] = field(default_factory=dict)
    copies: list[ReplicaStatus] = field(default_factory=list)  # of replicas in the former
    capacities: list[Capacity] | None = None
    error: str = ""
    unknown: bool = False  # why it shows nothing is the platform's fault, or want of time
    denied: bool = False  # it is there, and does not let the platform in
    called: bool = True  # False: its circuit breaker is open
    failures: int = 0  # of calls since it was observed
    slow: bool = False  # one of these has exceeded its limits

    def observe(self, ids: Collection[str] | None) -> None:
        """Fetch the status of all replicas, or of those of some deployments."""
        if self.runtime is None:
            return
        try:
            found = list(filter(_is_storable, self.runtime.observe(ids)))
        except RuntimeUnavailable as error:
            self.fail(error)
            return
        # One that others have renamed is the replica, unless another has the replica's name.
        found.sort(key=lambda each: each.renamed)
        for each in found:
            if self.replica_statuses.setdefault(each.key, each) is not each:
                self.copies.append(each)

    def measure(self) -> None:
        """Fetch the nodes' capacities, unless they are known."""
        if self.runtime is None or self.error or self.capacities is not None:
            return
        try:
            self.capacities = self.runtime.capacity()
        except RuntimeUnavailable as error:
            self.fail(error)

    def fail(self, error: RuntimeUnavailable) -> None:
        """From here on the endpoint shows nothing. Its circuit breaker opens, unless the pass had
        no time left for it."""
        if self.error:
            return
        self.error = one_line(error)
        self.denied = isinstance(error, AccessDenied)
        if isinstance(error, OutOfTime):
            self.unknown = True
            circuit_breaker.doubt(self.endpoint.pk)
        else:
            circuit_breaker.failed(self.endpoint.pk)


class Replica(NamedTuple):
    """One replica of an attempt: the node it is placed on, and what its endpoint shows of it."""

    number: int
    node: Node | None  # None: the node is deleted
    status: ReplicaStatus | None  # None: its endpoint does not show it
    answered: bool  # its endpoint has answered in this round
    node_lost: bool  # its node has been lost for longer than the cluster waits
    node_returned: bool  # its node was NOT_READY until this round
    lost_at: datetime | None = None  # when its node will be lost unless it is ready before


class Observation:
    """The endpoints and nodes of a cluster, as the tables have them, and what endpoints show."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.is_of_engines = cluster.runtime == RuntimeKind.DOCKER
        self.endpoints = {each.pk: each for each in cluster.endpoints.all()}
        self.endpoint_views: dict[UUID, EndpointView] = {}
        self.logs_kept: set[Key] = set()  # replicas whose log has been stored in this round
        self.read_nodes()
        self._were_away = {
            id_ for id_, node in self.nodes.items() if node.observed == NodeState.NOT_READY
        }

    def read_nodes(self) -> None:
        """Read the nodes as they are now. One query."""
        self.nodes = {str(node.pk): node for node in Node.objects.filter(cluster=self.cluster)}

    def observe(self, ids: Collection[str] | None, *, capacity: bool) -> None:
        """Fetch the status of all replicas, or of those of some deployments, and with `capacity`
        that of the nodes. No transaction may be open."""
        endpoint_views = [EndpointView(endpoint) for endpoint in self.endpoints.values()]
        # Those that answered last time come first, and the others in turns.
        endpoint_views.sort(key=lambda each: (bool(each.endpoint.error), random.random()))
        node_names = {node.endpoint_id: node.name for node in self.nodes.values()}
        try:
            registries = runtime_connections.read_registries(self.cluster)
        except Unsealable as error:
            for each in endpoint_views:
                each.error, each.unknown = one_line(error), True
        else:
            for each in endpoint_views:
                self._connect(each, node_names.get(each.endpoint.pk, ""), registries)

        def observe(endpoint_view: EndpointView) -> None:
            with limits.within(ENDPOINT_S, by_endpoint=True):
                endpoint_view.observe(ids)
                # What an endpoint says of its nodes comes first, once it answers again.
                if capacity or endpoint_view.endpoint.error:
                    endpoint_view.measure()

        with limits.within(ALL_ENDPOINTS_S):
            in_parallel("observe", observe, endpoint_views)
        self.endpoint_views = {each.endpoint.pk: each for each in endpoint_views}
        if any(not each.error and each.endpoint.seen_at is None for each in endpoint_views):
            self._reject_duplicate_machines(node_names)

    def _reject_duplicate_machines(self, node_names: Mapping[UUID | None, str]) -> None:
        """An endpoint that leads to a machine of another endpoint stays closed if it has never been
        open: the scheduler would fill the machine twice. An endpoint that is open stays open, since
        it may be a clone of the other machine."""
        with limits.within(ALL_ENDPOINTS_S):
            in_parallel("observe", EndpointView.measure, self.endpoint_views.values())
        first: dict[str, EndpointView] = {}
        oldest_first = sorted(
            self.endpoint_views.values(),
            key=lambda each: (each.endpoint.seen_at is None, each.endpoint.pk),
        )
        for endpoint_view in oldest_first:
            for machine in {
                each.machine for each in endpoint_view.capacities or () if each.machine
            }:
                other = first.setdefault(machine, endpoint_view)
                if other is not endpoint_view and endpoint_view.endpoint.seen_at is None:
                    name = node_names.get(other.endpoint.pk) or other.endpoint.url
                    endpoint_view.replica_statuses, endpoint_view.copies = {}, []
                    endpoint_view.error = ALREADY_ATTACHED.format(name)

    def _connect(
        self, endpoint_view: EndpointView, node: str, registries: Sequence[Registry]
    ) -> None:
        endpoint = endpoint_view.endpoint
        if circuit_breaker.is_open(endpoint.pk):
            endpoint_view.error = endpoint.error or "It did not answer a moment ago."
            endpoint_view.called = False
            return
        try:
            endpoint_view.runtime = runtime_connections.connect(
                self.cluster, endpoint, node, registries
            )
        except Unsealable as error:
            endpoint_view.error, endpoint_view.unknown = one_line(error), True
        except (
            ValueError,
            OSError,
            RuntimeUnavailable,
        ) as error:  # of the certificates: nothing has been called
            endpoint_view.error, endpoint_view.denied = one_line(error), True

    def replicas(self, row: Deployment, now: datetime) -> list[Replica]:
        """The replicas of the row's present attempt, in the order of their numbers."""
        lost_since = now - timedelta(seconds=self.cluster.node_lost_after_s)
        found = []
        for number, node_id in enumerate(node_ids(row)):
            node = self.nodes.get(node_id)
            endpoint_view = self._endpoint_view(node)
            key = Key(str(row.pk), row.attempt, number)
            found.append(
                Replica(
                    number,
                    node,
                    status=endpoint_view.replica_statuses.get(key) if endpoint_view else None,
                    answered=bool(endpoint_view and not endpoint_view.error),
                    node_lost=node is None or self._is_lost(node, lost_since),
                    node_returned=node_id in self._were_away,
                    lost_at=self._lost_at(node),
                )
            )
        return found

    def _is_lost(self, node: Node, lost_since: datetime) -> bool:
        """An engine is one node, and lost with its silence. Of a node of Kubernetes only the API
        server can say that it is lost, and only while it answers."""
        return (
            node.observed == NodeState.NOT_READY
            and node.not_ready_since is not None
            and node.not_ready_since <= lost_since
            and (self.is_of_engines or self.endpoint_view_of(node) is not None)
        )

    def _lost_at(self, node: Node | None) -> datetime | None:
        if node is None or node.observed != NodeState.NOT_READY or not node.not_ready_since:
            return None
        return node.not_ready_since + timedelta(seconds=self.cluster.node_lost_after_s)

    def has_returned_node(self) -> bool:
        """Whether the endpoint of a node that was NOT_READY has answered in this round, or an API
        server that was away."""
        if not self.is_of_engines:
            views = self.endpoint_views.values()
            return any(each.endpoint.error and not each.error for each in views)
        nodes = [self.nodes[id_] for id_ in self._were_away if id_ in self.nodes]
        return any(self.endpoint_view_of(node) is not None for node in nodes)

    def endpoint_view_of(self, node: Node | None) -> EndpointView | None:
        """What the node's endpoint shows; None where it has not answered in this round."""
        endpoint_view = self._endpoint_view(node)
        return endpoint_view if endpoint_view and not endpoint_view.error else None

    def runtime_of(self, node: Node | None) -> Runtime | None:
        endpoint_view = self.endpoint_view_of(node)
        return endpoint_view.runtime if endpoint_view else None

    def replica_statuses(self) -> Iterator[tuple[EndpointView, ReplicaStatus]]:
        for endpoint_view in self.endpoint_views.values():
            for replica_status in (*endpoint_view.replica_statuses.values(), *endpoint_view.copies):
                yield endpoint_view, replica_status

    def node_id_of(self, endpoint_view: EndpointView, replica_status: ReplicaStatus) -> str | None:
        """The id of the node that the replica is on; None where the node is deleted."""
        for id_, node in self.nodes.items():
            if (node.endpoint_id, node.name) == (endpoint_view.endpoint.pk, replica_status.node):
                return id_
        return None

    def record_failure(self, node: Node | None, error: RuntimeUnavailable) -> None:
        """Count a call that the node's endpoint did not answer in the middle of the pass.

        The cause may be the deployment that was asked for, so the endpoint counts as away, for the
        rest of the round, only after MOST_FAILURES calls.
        """
        endpoint_view = self._endpoint_view(node)
        if endpoint_view is not None:
            endpoint_view.failures += 1
            too_many = endpoint_view.failures >= MOST_FAILURES
            if isinstance(error, OutOfTime) or (too_many and isinstance(error, LimitExceeded)):
                endpoint_view.fail(error)
            elif isinstance(error, LimitExceeded):
                endpoint_view.slow = True
                circuit_breaker.doubt(endpoint_view.endpoint.pk)
            elif too_many:
                endpoint_view.error = one_line(error)

    def close_circuit_breakers(self) -> None:
        """Of the endpoints that have answered this round's calls, and each of them in time."""
        for each in self.endpoint_views.values():
            if each.runtime is not None and not each.error and not each.slow:
                circuit_breaker.answered(each.endpoint.pk)

    def _endpoint_view(self, node: Node | None) -> EndpointView | None:
        return self.endpoint_views.get(node.endpoint_id) if node and node.endpoint_id else None


def _is_storable(status: ReplicaStatus) -> bool:
    """Whether the tables can store what it says: an endpoint may report anything."""
    numbers = (status.key.attempt, status.key.replica, status.exit_code or 0)
    times = (each for each in (status.started_at, status.ended_at) if each is not None)
    return (
        parse_uuid(status.key.deployment_id) is not None
        and all(abs(each) <= MAX_INTEGER for each in numbers)
        and all(each.tzinfo is not None for each in times)
    )
