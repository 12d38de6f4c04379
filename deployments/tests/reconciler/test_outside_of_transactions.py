"""No call to a runtime is made while a transaction is open, on any thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction

from accounts.models import User
from clusters.models import Runtime as Kind
from clusters.services.nodes import drain, uncordon
from deployments import runtime_connections
from deployments.lifecycle import deadlines
from deployments.services.stop import stop_deployment
from deployments.tests.reconciler.conftest import Site, launch, lose
from organizations.models import Organization
from scheduler import audit

pytestmark = pytest.mark.django_db(transaction=True)

CALLS = {"start", "stop", "observe", "remove", "logs", "capacity", "pull", "tidy"}


class Listening:
    """A runtime in front of another; it notes each call, and who has a transaction open then."""

    def __init__(self, runtime: Any, open_in: set[int], heard: list[tuple[str, bool]]) -> None:
        self._runtime, self._open_in, self._heard = runtime, open_in, heard

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._runtime, name)
        if name not in CALLS:
            return found

        def call(*args: Any, **given: Any) -> Any:
            self._heard.append((name, bool(self._open_in) or connection.in_atomic_block))
            return found(*args, **given)

        return call


@contextmanager
def transactions_watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[int]]:
    """The threads that have one open, for as long as they do."""
    open_in: set[int] = set()
    enter: Callable[..., None] = transaction.Atomic.__enter__
    leave: Callable[..., None] = transaction.Atomic.__exit__

    def entering(self: transaction.Atomic) -> None:
        enter(self)
        open_in.add(threading.get_ident())

    def leaving(self: transaction.Atomic, *error: Any) -> None:
        try:
            leave(self, *error)
        finally:
            if not connection.in_atomic_block:
                open_in.discard(threading.get_ident())

    with monkeypatch.context() as patch:
        patch.setattr(transaction.Atomic, "__enter__", entering)
        patch.setattr(transaction.Atomic, "__exit__", leaving)
        yield open_in


@pytest.fixture
def heard() -> list[tuple[str, bool]]:
    """Calls, and whether a transaction was open."""
    return []


@pytest.fixture
def overheard_site(
    org: Organization,
    dev: User,
    heard: list[tuple[str, bool]],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Site]:
    site = Site(org, {"dev": dev})
    with transactions_watched(monkeypatch) as open_in:

        def twin(_: object, endpoint: Any, *__: Any) -> Any:
            return Listening(site.twins[endpoint.pk], open_in, heard)

        monkeypatch.setitem(runtime_connections.FACTORIES, Kind.DOCKER, twin)
        yield site
    assert audit.breaches() == []


def test_the_whole_life_of_deployments_calls_nobody_from_inside_a_transaction(
    overheard_site: Site, heard: list[tuple[str, bool]], dev: User
):
    site = overheard_site
    a, b = site.add_node("a"), site.add_node("b")
    site.look()
    site.twin(a).missing_images.add("sleep")
    site.twin(b).unpullable_images.add("nothing")
    site.twin(a).unpullable_images.add("nothing")
    gang = site.submit(replicas=2)
    done, bad = site.submit("hello"), site.submit("exit:1", max_retries=1)
    never = site.submit("nothing", gpu=0)
    site.settle()
    site.end_pauses()
    site.settle()
    assert [site.status(row) for row in (gang, done, bad, never)] == [
        "RUNNING",
        "COMPLETED",
        "FAILED",
        "FAILED",
    ]
    deaf = site.submit("deaf", gpu=2)
    site.settle()
    stop_deployment(dev, site.fresh(gang))
    site.settle()
    victim = site.submit("deaf", gpu=2)
    site.settle()
    for row in (site.submit(priority="HIGH", gpu=2), site.submit(priority="HIGH", gpu=2)):
        site.settle()
        for each in (deaf, victim):
            if site.status(each) == "STOPPING":
                site.overdue(each)
        site.settle()
        assert site.status(row) == "RUNNING"
    site.twin(a).start(launch("01a20000-0000-7000-8000-000000000000"))
    site.settle()
    limited = site.node_of(row)
    drain(limited)
    site.settle()
    uncordon(type(limited).objects.get(pk=limited.pk))
    site.settle()
    site.away(a)
    site.look()
    lose(a)
    site.settle()
    site.away(a, False)
    site.settle()
    admitted_at = site.fresh(row).admitted_at
    assert admitted_at is not None
    deadlines.finish_due(admitted_at)
    assert {name for name, _ in heard} == CALLS
    assert [name for name, inside in heard if inside] == []
