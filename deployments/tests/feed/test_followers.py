"""Followers beside bulks, single submits, stops and long transactions: none misses a change."""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from deployments.models import Deployment, DeploymentEvent
from deployments.services.bulk import create_deployments
from deployments.services.drafting.drafts import Order
from deployments.services.drafting.update import change_deployment
from deployments.services.stop import stop_one
from deployments.services.submit import create_deployment
from deployments.tests.feed.transactions import in_thread
from organizations.tests.people import client_for

pytestmark = pytest.mark.django_db(transaction=True)

SPEC = {"image": "train:1.2", "cpu_milli": 1, "ram_mib": 1, "gpu": 0}
BULKS, OF_A_BULK = 3, 800

Turn = Callable[[], bool]
"""A poll; whether it found anything."""


class ByUpdates:
    """Keeps what `?updated_after=` has shown last of each deployment."""

    def __init__(self, user: Any, cluster: Any) -> None:
        self._client, self._path = client_for(user), f"/api/clusters/{cluster.pk}/deployments"
        self._cursor = "now"
        self.states: dict[str, tuple[str, str]] = {}

    def poll(self) -> bool:
        query = {"updated_after": self._cursor, "limit": "1000"}
        answer = self._client.get(self._path, query)
        assert answer.status_code == 200, answer.content
        self._cursor = answer.headers["Next-Cursor"]
        for each in answer.json():
            self.states[each["id"]] = (each["name"], each["status"])
        return bool(answer.json()) or "Link" in answer.headers


class ByEvents:
    """Keeps the feed's events, in the order in which they came."""

    def __init__(self, user: Any, cluster: Any) -> None:
        self._client, self._path = client_for(user), f"/api/orgs/{cluster.organization_id}/events"
        self._cursor = "now"
        self.told: list[tuple[str, str]] = []

    def poll(self) -> bool:
        answer = self._client.get(self._path, {"since": self._cursor, "limit": "1000"})
        assert answer.status_code == 200, answer.content
        self._cursor = answer.headers["Next-Cursor"]
        self.told += [(each["deployment_id"], each["type"]) for each in answer.json()]
        return bool(answer.json()) or "Link" in answer.headers


class ByTimes:
    """Asks for what was created after the newest that it has seen, as many clients do."""

    def __init__(self, user: Any, cluster: Any) -> None:
        self._client, self._path = client_for(user), f"/api/clusters/{cluster.pk}/deployments"
        self._newest = "2026-01-01T00:00:00Z"
        self.seen: list[str] = []

    def poll(self) -> bool:
        query = {"ordering": "created_at", "created_after": self._newest, "limit": "1000"}
        rows = self._client.get(self._path, query).json()
        self.seen += [each["id"] for each in rows]
        if rows:
            self._newest = rows[-1]["created_at"]
        return bool(rows)


def test_no_follower_misses_a_change_beside_bulks_singles_and_long_transactions(dev, cluster):
    updates, events, times = ByUpdates(dev, cluster), ByEvents(dev, cluster), ByTimes(dev, cluster)
    polls: list[Turn] = [updates.poll, events.poll, times.poll]
    for poll in polls:
        poll()  # from here on
    over = threading.Event()

    def follow(poll: Turn) -> None:
        while not over.is_set():
            poll()
            time.sleep(0.02)

    def submit_singly() -> None:
        chance = random.Random(7)
        rows: list[Deployment] = []
        while not over.is_set():
            rows.append(create_deployment(dev, cluster.pk, SPEC).deployment)
            row = chance.choice(rows)
            if chance.random() < 0.5:
                change_deployment(dev, row, {"name": f"named-{chance.random()}"})
            elif chance.random() < 0.5:
                stop_one(Deployment.objects.get(pk=row.pk), dev)

    def take_long() -> None:
        while not over.is_set():
            with transaction.atomic():
                row = create_deployment(dev, cluster.pk, SPEC).deployment
                change_deployment(dev, row, {"name": "slow"})
                time.sleep(0.3)

    threads = [in_thread(partial(follow, poll)) for poll in polls]
    threads += [in_thread(submit_singly), in_thread(take_long)]
    try:
        for _ in range(BULKS):
            create_deployments(dev, [Order(cluster.pk, SPEC)] * OF_A_BULK)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    for poll in polls:
        while poll():
            pass

    rows = {str(row.pk): (row.name, row.status) for row in Deployment.objects.all()}
    assert len(rows) > BULKS * OF_A_BULK
    assert updates.states == rows
    order = DeploymentEvent.objects.order_by("transaction_id", "id")
    assert events.told == [
        (str(key), kind) for key, kind in order.values_list("deployment_id", "type")
    ]
    assert sorted(times.seen) == sorted(rows)
