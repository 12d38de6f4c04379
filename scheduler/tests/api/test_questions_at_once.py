"""Few explanations and quotes are answered at the same time, and each user may ask so often."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings
from rest_framework.exceptions import Throttled

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment
from mlops_platform.api.throttling import concurrency
from mlops_platform.api.throttling.concurrency import Share, slot
from mlops_platform.coordination.redis import redis_client
from mlops_platform.tests.equipment.errors import error_body
from organizations.models import Organization
from organizations.tests.people import JsonClient, all_at_once, client_for
from scheduler.answers.explain import explain
from scheduler.answers.shares import shares_of
from scheduler.api import viewsets
from scheduler.tests.api.test_quote import QUOTE, body
from scheduler.tests.conftest import Submit

pytestmark = pytest.mark.django_db
SHARE = Share("test", running=1, waiting=2)


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Explanations take until the event is set."""
    done = threading.Event()

    def waiting(deployment: Deployment) -> dict[str, Any]:
        done.wait(20)
        return explain(deployment)

    monkeypatch.setattr(viewsets, "explain", waiting)
    yield done
    done.set()


@pytest.fixture
def taken() -> Iterator[str]:
    """Another call has the one slot."""
    concurrency._wait_for_turn("other", [SHARE])
    yield "other"
    concurrency._leave("other", [SHARE])


@pytest.mark.django_db(transaction=True)
def test_one_is_answered_two_wait_and_more_are_refused_at_once(
    cluster: Cluster,
    submit: Submit,
    dev: User,
    slowly: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that are refused are answered while the others wait, however long these may."""
    for name in ("LONGEST_WAIT_S", "WAITING_LEASE_S"):
        monkeypatch.setattr(concurrency, name, 60)
    path = f"/api/deployments/{submit('LOW', gpu=9).pk}/explain"
    answers: list[int] = []

    def ask() -> None:
        answer = client_for(dev).get(path)
        answers.append(answer.status_code)
        if answer.status_code == 429:
            assert error_body(answer)["code"] == "throttled"
            assert 0 < int(answer["Retry-After"]) <= 5
        if len(answers) == 9:  # of twelve: all that will be refused were
            slowly.set()

    all_at_once(*[ask] * 12)
    assert answers[:9] == [429] * 9
    assert answers[9:] == [200] * 3


def test_a_call_that_waits_gets_its_turn(taken: str) -> None:
    threading.Timer(0.3, concurrency._leave, args=(taken, [SHARE])).start()
    began = time.monotonic()
    with slot([SHARE]):
        assert time.monotonic() - began > 0.2


def test_a_call_does_not_wait_for_long(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "LONGEST_WAIT_S", 0.2)
    with pytest.raises(Throttled), slot([SHARE]):
        pass
    assert not redis_client().exists("throttle:slots:test:waiting")  # nothing is left of it


def test_the_slots_of_a_killed_process_come_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "LEASE_S", 1)
    concurrency._wait_for_turn("killed", [SHARE])
    began = time.monotonic()
    with slot([SHARE]):
        assert 0.5 < time.monotonic() - began < 2.5


def test_one_share_refuses_though_the_other_has_room() -> None:
    own, common = Share("own", 1, 1), Share("common", 1, 0)
    with slot([common]), pytest.raises(Throttled), slot([own, common]):
        pass
    assert not redis_client().exists("throttle:slots:own:running")


def test_other_clusters_and_organizations_have_slots_of_their_own(
    cluster: Cluster, org: Organization
) -> None:
    other = make_cluster(org, name="other")
    ours, theirs = shares_of(cluster), shares_of(other)
    with slot(ours), slot(theirs):
        pass
    assert ours[1] == theirs[1]
    assert ours[0] != theirs[0]


def test_while_redis_is_away_half_of_the_threads_answer(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"unix://{tmp_path}/no-server.sock"
    monkeypatch.setattr(concurrency, "_of_this_process", threading.BoundedSemaphore(2))
    with slot([SHARE]), slot([SHARE]), pytest.raises(Throttled), slot([SHARE]):
        pass
    with slot([SHARE]):
        pass


@pytest.mark.parametrize("scope", ["quote", "explain"])
def test_a_user_asks_so_often_whatever_the_address(
    cluster: Cluster,
    submit: Submit,
    dev: User,
    ada: User,
    monkeypatch: pytest.MonkeyPatch,
    scope: str,
) -> None:
    monkeypatch.setitem(JsonClient.rates(), scope, "2/min")
    path = f"/api/deployments/{submit('LOW', gpu=9).pk}/explain"
    asks: dict[str, Callable[[User, int], Any]] = {
        "quote": lambda user, n: client_for(user).post(
            QUOTE, body(cluster), REMOTE_ADDR=f"192.0.2.{n}"
        ),
        "explain": lambda user, n: client_for(user).get(path, REMOTE_ADDR=f"192.0.2.{n}"),
    }
    assert [asks[scope](dev, n).status_code for n in range(3)] == [200, 200, 429]
    assert asks[scope](ada, 9).status_code == 200
