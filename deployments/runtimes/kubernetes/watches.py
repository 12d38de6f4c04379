"""Watches Pods and nodes: what changes, as the API server reports."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from deployments.runtimes.base import NODES_CHANGED, RuntimeUnavailable, one_line
from deployments.runtimes.kubernetes.api import Api, Refusal, nonsense_as_unavailable
from deployments.runtimes.kubernetes.names import DEPLOYMENT, Json, labels_of
from deployments.runtimes.kubernetes.node_capacity import what_matters
from deployments.runtimes.streams import merged, paced

WATCH_S = 5  # how long one request watches; `stop` is checked in between
EVENTS_PER_S = 500
PAUSE_S = 0.2  # between requests, for the sake of a server that ends each at once
NOT_ALLOWED_S = 600.0  # an account without the right to watch nodes may get it
TICK_S = 1.0


class _TooOld(Exception):  # noqa: N818 - a state of the watch, not an error
    """The server does not know this version any more."""


@dataclass(frozen=True)
class Watched:
    """What is listed and watched: a method of the library, and how to call it."""

    api: Api
    name: str
    timeout_s: float
    watch_s: int
    given: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def present_version(self) -> str:
        """The version of all of them, from a list of one item."""
        answer = self.api.call(self.name, *self.given, **self.options, limit=1)
        return str(answer["metadata"]["resourceVersion"])

    def events(self, version: str) -> Iterator[Json]:
        """One request's events after the version."""
        try:
            stream = self.api.stream(
                self.name,
                *self.given,
                **self.options,
                resource_version=version,
                watch=True,
                allow_watch_bookmarks=True,
                timeout_seconds=self.watch_s,
                silent_s=self.watch_s + self.timeout_s,
                within_s=self.watch_s + 2 * self.timeout_s,
            )
        except Refusal as refusal:
            if refusal.status == 410:
                raise _TooOld from refusal
            raise
        for event in paced(stream, EVENTS_PER_S):
            if event["type"] == "ERROR":
                status = event.get("object") or {}
                if status.get("code") == 410:
                    raise _TooOld
                raise RuntimeUnavailable(one_line(status.get("message") or "The watch has failed."))
            yield event


def changes(pods: Watched, nodes: Watched, stop: Event) -> Iterator[str | None]:
    """Deployment ids from now on, and NODES_CHANGED; None now and then."""
    if stop.is_set():
        return iter(())
    over = Event()
    sources = (_pod_changes(pods, over), _node_changes(nodes, over))
    return merged(sources, stop, over, TICK_S)


def _pod_changes(pods: Watched, stop: Event) -> Iterator[str | None]:
    for event in _watch(pods, stop):
        yield labels_of(event["object"]).get(DEPLOYMENT) if event else None


def _node_changes(nodes: Watched, stop: Event) -> Iterator[str | None]:
    """Kubelets report their nodes every few minutes even though nothing has changed, so only what
    decides about a node's capacity and state counts."""
    known: dict[str, str] = {}

    def begin() -> None:
        known.clear()
        known.update(nodes.api.items(nodes.name, lambda node: (_name(node), _state(node))))

    while not stop.is_set():
        try:
            for event in _watch(nodes, stop, begin):
                if event is None:
                    continue
                name, state = _name(event["object"]), _state(event["object"])
                before = known.pop(name, None)
                if event["type"] != "DELETED":
                    known[name] = state
                if before != known.get(name):
                    yield NODES_CHANGED
        except Refusal as refusal:
            if refusal.status != 403:
                raise
            stop.wait(NOT_ALLOWED_S)  # an older manifest: passes find changes, a little later


def _watch(
    watched: Watched, stop: Event, begin: Callable[[], object] = lambda: None
) -> Iterator[Json | None]:
    """The events from now on; None once per request. `begin` is called before the first event, and
    again where events may have been missed.

    Each request continues after the last version. Where the server does not know the version any
    more (410, as an answer or within the stream), the next request begins at the present.
    """
    version: str | None = None
    while not stop.is_set():
        try:
            with nonsense_as_unavailable():
                if version is None:
                    version = watched.present_version()
                    begin()
                    yield None  # from here on no change is missed
                for event in watched.events(version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield event
                    if stop.is_set():
                        return
        except _TooOld:
            version = None
        yield None
        stop.wait(PAUSE_S)


def _name(node: Json) -> str:
    return str(node["metadata"]["name"])


def _state(node: Json) -> str:
    matters = what_matters(node)
    conditions = matters["status"].pop("conditions") or ()
    ready = [(each.get("status"), each.get("reason")) for each in conditions if _is_ready(each)]
    return json.dumps([matters, ready], sort_keys=True)


def _is_ready(condition: Json) -> bool:
    return bool(condition.get("type") == "Ready")
