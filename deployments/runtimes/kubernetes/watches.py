"""Watches Pods: the deployments whose Pods change, as the API server reports."""

from collections.abc import Iterator
from threading import Event

from deployments.runtimes.base import RuntimeUnavailable, one_line
from deployments.runtimes.kubernetes.api import Api, Refusal, nonsense_as_unavailable
from deployments.runtimes.kubernetes.names import DEPLOYMENT, Json, labels_of
from deployments.runtimes.streams import paced

WATCH_S = 5  # how long one request watches; `stop` is checked in between
EVENTS_PER_S = 500
PAUSE_S = 0.2  # between requests, for the sake of a server that ends each at once


class _TooOld(Exception):  # noqa: N818 - a state of the watch, not an error
    """The server does not know this version any more."""


def changes(
    api: Api, namespace: str, selector: str, stop: Event, *, timeout_s: float, watch_s: int
) -> Iterator[str | None]:
    """Deployment ids from now on; None once per request.

    Each request continues after the last version. Where the server does not know the version any
    more (410, as an answer or within the stream), the next request begins at the present.
    """
    version: str | None = None
    while not stop.is_set():
        try:
            with nonsense_as_unavailable():
                if version is None:
                    version = _present_version(api, namespace, selector)
                    yield None  # from here on no change is missed
                for event in _events(
                    api, namespace, selector, version, timeout_s=timeout_s, watch_s=watch_s
                ):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield labels_of(event["object"]).get(DEPLOYMENT)
                    if stop.is_set():
                        return
        except _TooOld:
            version = None
        yield None
        stop.wait(PAUSE_S)


def _present_version(api: Api, namespace: str, selector: str) -> str:
    """The namespace's version, from a list of one item."""
    answer = api.call("list_namespaced_pod", namespace, label_selector=selector, limit=1)
    return str(answer["metadata"]["resourceVersion"])


def _events(
    api: Api, namespace: str, selector: str, version: str, *, timeout_s: float, watch_s: int
) -> Iterator[Json]:
    try:
        stream = api.stream(
            "list_namespaced_pod",
            namespace,
            label_selector=selector,
            resource_version=version,
            watch=True,
            allow_watch_bookmarks=True,
            timeout_seconds=watch_s,
            silent_s=watch_s + timeout_s,
            within_s=watch_s + 2 * timeout_s,
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
