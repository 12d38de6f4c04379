"""A Redis that goes away under the running platform: submits go on, and nothing stays lost."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from clusters.models import Cluster
from mlops_platform.tests.equipment.own_redis import OwnRedis
from mlops_platform.tests.equipment.plugin import REPOSITORY

pytestmark = [pytest.mark.concurrency, pytest.mark.django_db(transaction=True)]

ANSWER_TIMEOUT_S = 20.0
WAIT_S = 60.0


class Web:
    """Calls to a real web process."""

    def __init__(self, port: int, user: User) -> None:
        self._port = port
        self._token = str(AccessToken.for_user(user))

    def get(self, path: str) -> Any:
        return self._call("GET", path, None)[1]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_TIMEOUT_S)
        with closing(connection):
            connection.request(method, path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.load(answer)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[OwnRedis]:
    redis = OwnRedis(tmp_path / "redis")
    redis.start()
    yield redis
    redis.stop()


@pytest.fixture
def web(redis: OwnRedis, worker_environment: dict[str, str], dev: User) -> Iterator[Web]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    gunicorn = ["-m", "gunicorn", "--config", "python:mlops_platform.gunicorn"]
    variables = {"REDIS_URL": redis.url, "PORT": str(port), "WEB_CONCURRENCY": "1"}
    process = subprocess.Popen(
        [sys.executable, *gunicorn, "mlops_platform.asgi"],
        cwd=REPOSITORY,
        env={**worker_environment, **variables},
        stdin=subprocess.DEVNULL,
    )
    client = Web(port, dev)
    wait_for(lambda: client.get("/healthz")["status"] == "ok")
    yield client
    process.terminate()
    process.wait()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        with suppress(ConnectionError):
            if condition():
                return
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def test_submits_go_on_while_redis_is_away_and_run_once_it_is_back(
    redis: OwnRedis,
    web: Web,
    cluster: Cluster,
    start_worker: Callable[..., "subprocess.Popen[bytes]"],
) -> None:
    worker = start_worker(concurrency=1, REDIS_URL=redis.url)

    def submit() -> str:
        request = {"required_cpu": 1, "required_ram": 64, "required_gpu": 0}
        body = {"cluster_id": str(cluster.pk), "image": "busybox", **request}
        status, deployment = web.post("/api/deployments", body)
        assert status == 201
        return str(deployment["id"])

    def runs(key: str) -> bool:
        return bool(web.get(f"/api/deployments/{key}")["status"] == "RUNNING")

    before = submit()
    wait_for(lambda: runs(before))

    redis.stop()
    refused = submit()
    shown = web.get(f"/api/deployments/{refused}")
    assert (shown["status"], shown["queue_position"]) == ("QUEUED", None)
    assert shown["reason"]["code"] == "NOT_YET_EVALUATED"
    assert web.get(f"/api/clusters/{cluster.pk}/status")["queue_lengths"] == {"HIGH": 0, "LOW": 1}
    (waiting,) = web.get(f"/api/clusters/{cluster.pk}/queue")
    assert (waiting["id"], waiting["position"]) == (refused, None)
    assert web.get("/readyz")["status"] == "degraded"
    redis.start()
    redis.sweep()
    wait_for(lambda: runs(refused))

    with redis.frozen():
        unheard = submit()
    redis.sweep()
    wait_for(lambda: runs(unheard))
    assert worker.poll() is None
