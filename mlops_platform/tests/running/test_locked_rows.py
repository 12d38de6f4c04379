"""A session that keeps rows locked stops its own cluster alone, on the web and in the workers."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.tests.workloads import body
from mlops_platform.tests.equipment.row_locks import all_locked, locked
from mlops_platform.tests.web.asking import Answered, ask, assert_quick
from organizations.models import Organization, Role
from organizations.tests.people import make_member
from scheduler.tasks import look_for_unanswered
from scheduler.timer.turn import ask_again

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]
WAIT_S = 30.0
AT_ONCE = 16
MOST_TURNS = 500
SIXTY, MOST_LOCKED = 60, 20


def send(server: str, user: User, method: str, path: str, given: Mapping[str, object]) -> Answered:
    return ask(server, path, user, method=method, body=json.dumps(given).encode(), headers=JSON)


JSON = {"Content-Type": "application/json"}


def submit(server: str, user: User, cluster: Cluster) -> UUID:
    answer = send(server, user, "POST", "/api/deployments", body(cluster))
    assert answer.status == 201
    return UUID(answer.json()["id"])


def wait_until_it_runs(deployment_id: UUID) -> None:
    deadline = time.monotonic() + WAIT_S
    while Deployment.objects.get(pk=deployment_id).status != Status.RUNNING:
        assert time.monotonic() < deadline
        ask_again()  # as the timer does
        look_for_unanswered()
        time.sleep(0.1)


def test_a_cluster_whose_row_is_locked_delays_no_other_cluster_and_no_other_tenant(
    server: str,
    start_worker: Callable[..., "subprocess.Popen[bytes]"],
    ada: User,
    sam: User,
    org: Organization,
    sams_org: Organization,
) -> None:
    """16 calls at a time of one tenant need the row all the while."""
    stuck, others = make_cluster(org, name="stuck"), make_cluster(sams_org, total_gpu=8)
    start_worker(concurrency=1)
    stop = threading.Event()
    answers: list[int] = []

    def call_again_and_again(number: int) -> None:
        while not stop.is_set():
            path, change = f"/api/clusters/{stuck.pk}", {"name": f"n{number}"}
            answers.append(send(server, ada, "PATCH", path, change).status)

    with ThreadPoolExecutor(AT_ONCE) as pool, locked("clusters_cluster", stuck.pk):
        waiting = submit(server, ada, stuck)  # a submit needs no lock of the cluster
        for number in range(AT_ONCE):
            pool.submit(call_again_and_again, number)
        try:
            turns = 0
            while turns < 5 or len(answers) <= AT_ONCE:
                turns += 1
                assert turns < MOST_TURNS, "calls for the locked cluster are not answered"
                assert_quick(server, sam)
                if turns <= 5:  # so many find room
                    wait_until_it_runs(submit(server, sam, others))
        finally:
            stop.set()
        assert Deployment.objects.get(pk=waiting).status == Status.QUEUED
        while_locked = list(answers)
    assert set(while_locked) <= {503, 429}
    wait_until_it_runs(waiting)


def test_sixty_slow_calls_of_one_organization_keep_no_answer_from_another(
    server: str, ada: User, sam: User, org: Organization, sams_org: Organization
) -> None:
    """Ten members at once, for twenty rows that are all locked."""
    members = [ada, *(make_member(org, f"member-{number}", Role.ADMIN) for number in range(9))]
    stuck = [make_cluster(org, name=f"stuck-{number}") for number in range(MOST_LOCKED)]
    others = make_cluster(sams_org)
    over = threading.Event()
    answers: list[int] = []

    def call_again_and_again(number: int) -> None:
        while not over.is_set():
            path = f"/api/clusters/{stuck[len(answers) % MOST_LOCKED].pk}"
            user, change = members[number % len(members)], {"name": f"n{number}"}
            answers.append(send(server, user, "PATCH", path, change).status)

    statement = f"SELECT 1 FROM clusters_cluster WHERE organization_id = '{org.pk}' FOR UPDATE"
    with ThreadPoolExecutor(SIXTY) as pool, all_locked([statement]):
        for number in range(SIXTY):
            pool.submit(call_again_and_again, number)
        try:
            turns = 0
            while turns < 10 or len(answers) < SIXTY:
                turns += 1
                assert turns < MOST_TURNS, "calls for the locked clusters are not answered"
                assert_quick(server, sam)
                if turns <= 10:  # so many find room
                    submit(server, sam, others)
            while_locked = list(answers)
        finally:
            over.set()
    assert set(while_locked) <= {503, 429}
