"""A cluster's endpoints, looked at in parallel: what runs where, and who does not answer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from clusters.models import Cluster, Endpoint, Node, NodeState
from clusters.secrets import Unsealable
from deployments import runtime_connections
from deployments.models import Deployment
from deployments.placements import node_ids
from deployments.reconciler import circuit_breaker
from deployments.runtimes.base import (
    Capacity,
    Key,
    Registry,
    ReplicaStatus,
    Runtime,
    RuntimeUnavailable,
    one_line,
)

AT_ONCE = 8  # calls to the endpoints of one cluster
TWICE = (
    "This engine is attached already, as {}. "
    "A machine that was cloned needs an engine ID of its own."
)
MOST_FAILURES = 3  # of calls to an endpoint that has just been seen


@dataclass
class EndpointView:
    """What an endpoint showed. `error` says why it showed nothing; then nothing is known of it."""

    endpoint: Endpoint
    runtime: Runtime | None = None
    sightings: dict[Key, ReplicaStatus] = field(default_factory=dict)
    capacities: list[Capacity] | None = None
    error: str = ""
    sealed: bool = False  # it was not asked: its credentials, or a registry's, cannot be opened
    failures: int = 0  # since it was looked at


class Replica(NamedTuple):
    """One replica of an attempt: where it belongs, and what is seen of it."""

    number: int
    node: Node | None  # None: the node has gone
    sighting: ReplicaStatus | None
    answered: bool  # whether its endpoint showed anything at all
    lost: bool  # its node has been away for so long that nobody waits for it any more
    back: bool  # its node was away until just now


class Observation:
    """The endpoints and nodes of a cluster, as the tables have them, and views of them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.endpoints = {each.pk: each for each in cluster.endpoints.all()}
        self.views: dict[UUID, EndpointView] = {}
        self.kept: set[Key] = set()  # replicas whose output has been kept in this round
        self.read_nodes()
        self._away = {
            id_ for id_, node in self.nodes.items() if node.observed == NodeState.NOT_READY
        }

    def read_nodes(self) -> None:
        """As they are now; one query."""
        self.nodes = {str(node.pk): node for node in Node.objects.filter(cluster=self.cluster)}

    def look(self, ids: Collection[str] | None, *, capacity: bool) -> None:
        """Observe all endpoints, or those deployments in them. No transaction may be open."""
        views = [EndpointView(endpoint) for endpoint in self.endpoints.values()]
        names = {node.endpoint_id: node.name for node in self.nodes.values()}
        try:
            registries = runtime_connections.read_registries(self.cluster)
        except Unsealable as error:
            for view in views:
                view.error, view.sealed = one_line(error), True
        else:
            for view in views:
                self._connect(view, names.get(view.endpoint.pk, ""), registries)
        with ThreadPoolExecutor(AT_ONCE, "look") as pool:
            list(pool.map(lambda view: _look(view, ids, capacity=capacity), views))
        self.views = {view.endpoint.pk: view for view in views}
        for view in views:
            if view.runtime is not None and not view.error:
                circuit_breaker.answered(view.endpoint.pk)
        if any(not view.error and view.endpoint.seen_at is None for view in views):
            self._turn_twins_away(names)

    def _turn_twins_away(self, names: Mapping[UUID | None, str]) -> None:
        """A machine that was attached before by another address would be filled twice: what has
        never been open stays closed. Whoever is open already goes on, for it may be a clone."""
        with ThreadPoolExecutor(AT_ONCE, "look") as pool:
            list(pool.map(_measure, self.views.values()))
        first: dict[str, EndpointView] = {}
        by_age = sorted(
            self.views.values(), key=lambda view: (view.endpoint.seen_at is None, view.endpoint.pk)
        )
        for view in by_age:
            for machine in {each.machine for each in view.capacities or () if each.machine}:
                there = first.setdefault(machine, view)
                if there is not view and view.endpoint.seen_at is None:
                    name = names.get(there.endpoint.pk) or there.endpoint.url
                    view.sightings, view.error = {}, TWICE.format(name)

    def _connect(self, view: EndpointView, node: str, registries: Sequence[Registry]) -> None:
        if circuit_breaker.is_open(view.endpoint.pk):
            view.error = view.endpoint.error or "It did not answer a moment ago."
            return
        try:
            view.runtime = runtime_connections.connect(
                self.cluster, view.endpoint, node, registries
            )
        except Unsealable as error:
            view.error, view.sealed = one_line(error), True
        except (ValueError, OSError) as error:
            view.error = one_line(error)

    def replicas(self, row: Deployment, now: datetime) -> list[Replica]:
        """Those of its present attempt, in the order of its placement."""
        lost_since = now - timedelta(seconds=self.cluster.node_lost_after_s)
        found = []
        for number, node_id in enumerate(node_ids(row)):
            node = self.nodes.get(node_id)
            view = self.views.get(node.endpoint_id) if node and node.endpoint_id else None
            key = Key(str(row.pk), row.attempt, number)
            sighting = view.sightings.get(key) if view else None
            away = node is None or (
                node.observed == NodeState.NOT_READY
                and node.not_ready_since is not None
                and node.not_ready_since <= lost_since
            )
            back = node_id in self._away
            answered = bool(view and not view.error)
            found.append(Replica(number, node, sighting, answered, away, back))
        return found

    def somebody_is_back(self) -> bool:
        """Whether a node that was away has answered in this look."""
        nodes = [self.nodes[id_] for id_ in self._away if id_ in self.nodes]
        views = [self.views.get(node.endpoint_id) for node in nodes if node.endpoint_id]
        return any(view is not None and not view.error for view in views)

    def view_of(self, node: Node | None) -> EndpointView | None:
        """What its endpoint showed, where that has answered in this look."""
        view = self.views.get(node.endpoint_id) if node and node.endpoint_id else None
        return view if view and not view.error else None

    def runtime_of(self, node: Node | None) -> Runtime | None:
        view = self.view_of(node)
        return view.runtime if view else None

    def sightings(self) -> Iterator[tuple[EndpointView, ReplicaStatus]]:
        for view in self.views.values():
            for sighting in view.sightings.values():
                yield view, sighting

    def node_at(self, view: EndpointView, sighting: ReplicaStatus) -> str | None:
        """The id of the node on which it is seen; None where that has gone."""
        for id_, node in self.nodes.items():
            if (node.endpoint_id, node.name) == (view.endpoint.pk, sighting.node):
                return id_
        return None

    def failed(self, node: Node | None, error: RuntimeUnavailable) -> None:
        """Its endpoint gave no answer in the middle of the pass. That may be for what was asked of
        it, so only after some more it is left alone, and for the rest of the pass."""
        view = self.views.get(node.endpoint_id) if node and node.endpoint_id else None
        if view is not None:
            view.failures += 1
            if view.failures >= MOST_FAILURES:
                view.error = one_line(error)


def _look(view: EndpointView, ids: Collection[str] | None, *, capacity: bool) -> None:
    if view.runtime is None:
        return
    try:
        view.sightings = {each.key: each for each in view.runtime.observe(ids)}
    except RuntimeUnavailable as error:
        view.error = one_line(error)
        circuit_breaker.failed(view.endpoint.pk)
    if capacity:
        _measure(view)


def _measure(view: EndpointView) -> None:
    if view.runtime is None or view.error or view.capacities is not None:
        return
    try:
        view.capacities = view.runtime.capacity()
    except RuntimeUnavailable as error:
        view.error = one_line(error)
        circuit_breaker.failed(view.endpoint.pk)
