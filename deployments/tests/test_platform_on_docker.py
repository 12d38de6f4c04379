"""The whole platform: submits through the API, workers of both queues, and a real Docker engine."""

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import docker
import pytest
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import User
from clusters.models import Cluster, Endpoint, Node
from clusters.models import Runtime as Kind
from clusters.services.node_changes import follow_nodes
from clusters.tests.allocation import make_cluster
from deployments import tasks
from deployments.models import Deployment, DeploymentEvent
from deployments.tests.runtimes.docker.engine import IMAGE, DockerEngine
from organizations.models import Organization
from organizations.tests.people import JsonClient
from scheduler import audit
from scheduler.tasks import sweep
from scheduler.tests.races.storm import meanwhile

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.django_db(transaction=True)]

PATIENCE_S = 60.0
StartWorker = Callable[..., "subprocess.Popen[bytes]"]


class Platform:
    """A cluster with one engine of 1 core and 512 MiB; `submit` as the developer."""

    def __init__(self, org: Organization, dev: User, client: JsonClient, engine: DockerEngine):
        nothing = {"total_cpu_milli": 0, "total_ram_mib": 0, "total_gpu": 0}
        self.cluster: Cluster = make_cluster(org, name="engines", runtime=Kind.DOCKER, **nothing)
        endpoint = Endpoint.objects.create(
            cluster=self.cluster, url=engine.access.url, trusted=True
        )
        self.node = Node.objects.create(
            cluster=self.cluster,
            name="node-1",
            endpoint=endpoint,
            cpu_milli=1000,
            ram_mib=512,
            gpu=0,
            observed="NOT_READY",
        )
        follow_nodes(self.cluster.pk)
        self.dev, self.client, self.engine = dev, client, engine

    def submit(self, line: str = "exec sleep 600", cpu: float = 0.4, **more: Any) -> str:
        body = {
            "cluster_id": str(self.cluster.pk),
            "image": IMAGE,
            "command": ["sh", "-c"],
            "args": [line],
            "required_cpu": cpu,
            "required_ram": 32,
            "required_gpu": 0,
            **more,
        }
        answer = self.client.post("/api/deployments", body)
        assert answer.status_code == 201, answer.content
        id_: str = answer.json()["id"]
        return id_

    def get(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(f"/api/deployments/{id_}").json()
        return found

    def becomes(self, id_: str, status: str) -> dict[str, Any]:
        self.run_until(lambda: self.get(id_)["status"] == status, lambda: self.get(id_))
        return self.get(id_)

    def run_until(
        self, done: Callable[[], bool], message: Callable[[], object] = lambda: ""
    ) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < give_up, message()
            time.sleep(0.05)

    def events(self, id_: str) -> list[str]:
        lines = DeploymentEvent.objects.filter(deployment_id=UUID(id_)).exclude(type="NOTICE")
        return list(lines.order_by("id").values_list("type", flat=True))

    def containers(self, id_: str = "") -> list[str]:
        """The states of a deployment's containers, or of all containers of the cluster."""
        labels = [f"mlops-platform.cluster={self.cluster.pk}"]
        if id_:
            labels.append(f"mlops-platform.deployment={id_}")
        found = self.engine.client.containers(all=True, filters={"label": labels})
        return sorted(each["State"] for each in found)

    def clear_away(self) -> None:
        labels = {"label": f"mlops-platform.cluster={self.cluster.pk}"}
        for each in self.engine.client.containers(all=True, filters=labels):
            with suppress(docker.errors.APIError):  # a worker removes it already
                self.engine.client.remove_container(each["Id"], force=True)


def jobs() -> None:
    """The periodic tasks, more often than by the clock."""
    tasks.finish_due()
    tasks.look_everywhere()
    sweep()


@pytest.fixture
def platform(
    org: Organization,
    dev: User,
    api: Callable[[User], JsonClient],
    docker_engine: DockerEngine,
    start_worker: StartWorker,
) -> Iterator[Platform]:
    platform = Platform(org, dev, api(dev), docker_engine)
    start_worker(concurrency=1)
    with meanwhile(jobs, every_s=1.0):
        yield platform
    platform.clear_away()
    assert audit.breaches() == []


@pytest.fixture
def runtimes(platform: Platform, start_worker: StartWorker) -> "subprocess.Popen[bytes]":
    """A worker of the runtimes' queue, which starts after `platform`."""
    return start_runtimes(start_worker)


def start_runtimes(start_worker: StartWorker) -> "subprocess.Popen[bytes]":
    return start_worker(concurrency=8, queues="runtimes", pool="threads")


def test_deployments_go_from_submit_to_each_kind_of_end(
    platform: Platform, runtimes: object, server: str
):
    # It runs, is followed while it does, and completes.
    id_ = platform.submit("for n in 1 2 3; do echo line $n; sleep 1; done")
    encoding, pieces = followed(server, platform.dev, id_)
    assert encoding == "chunked"
    assert b"".join(pieces) == b"line 1\nline 2\nline 3\n"
    assert len(pieces) > 1
    done = platform.becomes(id_, "COMPLETED")
    assert done["exit_code"] == 0
    assert platform.events(id_) == ["SUBMITTED", "STARTED", "RUNNING", "COMPLETED"]
    kept = platform.client.get(f"/api/deployments/{id_}/logs?tail=1")
    assert kept.getvalue() == b"line 3\n"
    platform.run_until(lambda: platform.containers(id_) == [])

    # One fails.
    failed = platform.submit("exit 7")
    assert platform.becomes(failed, "FAILED")["exit_code"] == 7

    # One is stopped.
    stopped = platform.submit()
    platform.becomes(stopped, "RUNNING")
    assert platform.client.post(f"/api/deployments/{stopped}/stop").status_code in (200, 202)
    platform.becomes(stopped, "STOPPED")
    platform.run_until(lambda: platform.containers(stopped) == [])

    # One yields, and comes back once there is room.
    victim = platform.submit(cpu=0.8, max_retries=3)
    platform.becomes(victim, "RUNNING")
    urgent = platform.submit(cpu=0.8, priority="HIGH")
    platform.becomes(urgent, "RUNNING")
    assert "running" not in platform.containers(victim)
    assert platform.get(victim)["preemption_count"] == 1
    assert platform.client.post(f"/api/deployments/{urgent}/stop").status_code in (200, 202)
    platform.becomes(victim, "RUNNING")

    # One is removed behind its back, and started again.
    attempt = platform.get(victim)["attempt"]
    [container] = platform.engine.client.containers(
        filters={"label": f"mlops-platform.deployment={victim}"}
    )
    platform.engine.client.remove_container(container["Id"], force=True)
    platform.run_until(lambda: platform.events(victim).count("REQUEUED") == 2)
    paused = Deployment.objects.filter(pk=victim, retry_at__isnull=False, status="QUEUED")
    paused.update(retry_at=timezone.now())  # its pause, where it was not seen going, is over
    platform.run_until(lambda: platform.get(victim)["attempt"] == attempt + 1)
    assert platform.becomes(victim, "RUNNING")["retry_count"] == 0
    platform.run_until(lambda: platform.containers() == ["running"])


def test_lines_of_a_log_are_picked_while_it_runs_and_later(
    platform: Platform, runtimes: object, server: str
):
    id_ = platform.submit("for n in 1 2 3 4; do echo loss $n; echo end $n >&2; sleep 1; done")
    _, pieces = followed(server, platform.dev, id_, "&grep=loss&limit=2")
    assert b"".join(pieces) == b"loss 1\nloss 2\n"
    _, stamped = followed(server, platform.dev, id_, "&timestamps=true")
    platform.becomes(id_, "COMPLETED")
    platform.run_until(lambda: platform.containers(id_) == [])

    def kept(query: str) -> bytes:
        answer = platform.client.get(f"/api/deployments/{id_}/logs?{query}")
        assert answer.status_code == 200
        written: bytes = answer.getvalue()
        return written

    assert kept("timestamps=true") == b"".join(stamped)
    assert kept("grep=loss&tail=2") == b"loss 3\nloss 4\n"
    times = [line.split(b" ")[0].decode() for line in kept("timestamps=true").splitlines()]
    between = kept(f"since={times[2]}&until={times[5]}")
    assert sorted(between.splitlines()) == [b"end 2", b"end 3", b"loss 2", b"loss 3"]


def followed(server: str, user: User, id_: str, query: str = "") -> tuple[str | None, list[bytes]]:
    """The response's transfer encoding, and its pieces as they came."""
    parts = urlsplit(server)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {AccessToken.for_user(user)}"}
    path = f"/api/deployments/{id_}/logs?follow=true{query}"
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    pieces = []
    while piece := answer.read1(65536):
        pieces.append(piece)
    client.close()
    return answer.getheader("Transfer-Encoding"), pieces


def test_another_worker_finishes_what_a_killed_worker_began(
    platform: Platform, runtimes: "subprocess.Popen[bytes]", start_worker: StartWorker
):
    platform.run_until(lambda: Node.objects.get(pk=platform.node.pk).effective_state == "READY")
    gang = platform.submit(cpu=0.1, replicas=8)
    platform.run_until(lambda: bool(platform.containers(gang)))
    os.killpg(runtimes.pid, signal.SIGKILL)
    runtimes.wait()
    assert platform.get(gang)["status"] == "STARTING"
    assert platform.containers(gang).count("running") < 8
    start_runtimes(start_worker)
    platform.becomes(gang, "RUNNING")
    assert platform.containers(gang) == ["running"] * 8
    assert platform.events(gang) == ["SUBMITTED", "STARTED", "RUNNING"]


def test_an_engine_that_is_restarted_loses_no_deployment(platform: Platform, runtimes: object):
    daemon = platform.engine.daemon
    if daemon is None:
        pytest.skip("This engine is not ours to stop.")
    running = platform.submit()
    platform.becomes(running, "RUNNING")
    daemon.stop()
    try:
        platform.run_until(
            lambda: Node.objects.get(pk=platform.node.pk).effective_state == "NOT_READY"
        )
        late = platform.submit()
        # A pass may or may not see the engine end it; the deployment has not failed either way.
        assert platform.get(running)["status"] in ("RUNNING", "QUEUED")
        assert platform.get(late)["status"] == "QUEUED"
    finally:
        daemon.start()
    platform.becomes(late, "RUNNING")
    platform.run_until(lambda: platform.get(running)["attempt"] == 2)
    again = platform.becomes(running, "RUNNING")
    assert (again["retry_count"], again["preemption_count"]) == (0, 0)
    assert platform.containers(running) == ["running"]
