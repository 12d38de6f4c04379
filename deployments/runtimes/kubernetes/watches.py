"""Which deployments something happens to, as the API server tells."""

from collections.abc import Iterator
from threading import Event

from deployments.runtimes.base import RuntimeUnavailable, one_line
from deployments.runtimes.kubernetes.api import Api, Refusal
from deployments.runtimes.kubernetes.names import DEPLOYMENT, Json, labels_of

SPELL_S = 5  # how long one request watches; `stop` is looked at in between
PAUSE_S = 0.2  # a server that ends every request at once shall not be overrun


class _TooOld(Exception):  # noqa: N818 - a state of the watch, not an error
    """The server no longer knows what has happened since then."""


def changes(
    api: Api, namespace: str, selector: str, stop: Event, timeout_s: float
) -> Iterator[str | None]:
    """From now on: a version, and what has come after it, request by request.

    Where the server has forgotten our version (410, as an answer or within the stream), from the
    present again.
    """
    version: str | None = None
    while not stop.is_set():
        try:
            if version is None:
                version = _now(api, namespace, selector)
                yield None  # from here on nothing is missed
            for event in _spell(api, namespace, selector, version, timeout_s):
                version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    yield labels_of(event["object"]).get(DEPLOYMENT)
                if stop.is_set():
                    return
        except _TooOld:
            version = None
        yield None
        stop.wait(PAUSE_S)


def _now(api: Api, namespace: str, selector: str) -> str:
    """The namespace's version at present. One item is enough to be told."""
    answer = api.call("list_namespaced_pod", namespace, label_selector=selector, limit=1)
    return str(answer["metadata"]["resourceVersion"])


def _spell(
    api: Api, namespace: str, selector: str, version: str, timeout_s: float
) -> Iterator[Json]:
    try:
        stream = api.stream(
            "list_namespaced_pod",
            namespace,
            label_selector=selector,
            resource_version=version,
            watch=True,
            allow_watch_bookmarks=True,
            timeout_seconds=SPELL_S,
            silent_s=SPELL_S + timeout_s,
        )
    except Refusal as refusal:
        if refusal.status == 410:
            raise _TooOld from refusal
        raise
    for event in stream:
        if event["type"] == "ERROR":
            status = event.get("object") or {}
            if status.get("code") == 410:
                raise _TooOld
            raise RuntimeUnavailable(one_line(status.get("message") or "The watch has failed."))
        yield event
