"""Connections that PostgreSQL ends in the middle of anything: 503, and never 500."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from accounts.models import User
from clusters.tests.allocation import make_cluster
from deployments.tests.workloads import body
from mlops_platform.tests.web.asking import ask
from organizations.models import Organization

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]
FOR_S = 5.0


def cut_connections() -> None:
    """As a restart does, or a failover."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_no_call_answers_500_while_connections_are_cut(
    server: str, ada: User, org: Organization, client: Client, django_user_model: type[User]
) -> None:
    cluster = make_cluster(org)
    root = django_user_model.objects.create_superuser("root", "", "Wide-river-7-stones")
    client.force_login(root)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    cookie = {"Cookie": f"{settings.SESSION_COOKIE_NAME}={session}"}
    submitted = json.dumps(body(cluster)).encode()
    login = json.dumps({"username": "nobody", "password": "x"}).encode()
    as_json = {"Content-Type": "application/json"}
    calls: list[Callable[[], int]] = [
        lambda: ask(server, f"/api/clusters/{cluster.pk}/status", ada).status,
        lambda: ask(server, "/api/deployments", ada).status,
        lambda: (
            ask(
                server, "/api/deployments", ada, method="POST", body=submitted, headers=as_json
            ).status
        ),
        lambda: ask(server, "/api/users/login", method="POST", body=login, headers=as_json).status,
        lambda: ask(server, "/admin/clusters/cluster/", headers=cookie).status,
        lambda: ask(server, "/admin/", headers=cookie).status,
        lambda: ask(server, "/readyz").status,
        lambda: ask(server, "/metrics").status,
    ]
    stop = threading.Event()
    statuses: list[tuple[int, int]] = []

    def call_again_and_again(number: int) -> None:
        while not stop.is_set():
            statuses.append((number, calls[number]()))

    with ThreadPoolExecutor(len(calls)) as pool:
        for number in range(len(calls)):
            pool.submit(call_again_and_again, number)
        until = time.monotonic() + FOR_S
        while time.monotonic() < until:
            time.sleep(0.02)
            cut_connections()
        stop.set()
    assert {status for _, status in statuses} <= {200, 201, 401, 429, 503}, set(statuses)
    assert 503 in {status for _, status in statuses}  # it was cut in the middle, too


def test_the_process_is_alive_while_postgresql_is_frozen(server: str, ada: User) -> None:
    """Also with all threads waiting for it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        own = cursor.fetchone()[0]
    postmaster = psutil.Process(own).parent()
    assert postmaster is not None
    frozen = [postmaster, *postmaster.children()]
    for process in frozen:
        process.suspend()
    try:
        with ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(ask, server, "/api/orgs/my", ada) for _ in range(8)]
            time.sleep(0.5)
            assert not any(each.done() for each in waiting)
            for path in ("/healthz", "/healthz/"):
                assert ask(server, path, timeout_s=5).status == 200
            for process in frozen:
                process.resume()
            assert {each.result().status for each in waiting} <= {200, 503}
    finally:
        for process in frozen:
            process.resume()
