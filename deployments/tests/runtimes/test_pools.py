"""Calls to one endpoint at once: no fault, and nothing to warn of."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from deployments.runtimes.base import Access
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.hostile import HostileServer, Request, hostile, whole
from deployments.tests.runtimes.hostile_docker import engine

AT_ONCE = 6  # more than are kept for the next calls


def docker_at(server: HostileServer) -> DockerRuntime:
    return DockerRuntime(Access(server.url), cluster_id="ours", node="n")


def kubernetes_at(server: HostileServer) -> Any:
    from deployments.tests.runtimes.kubernetes.cluster import runtime_at

    return runtime_at(f"http://127.0.0.1:{server.port}", timeout_s=10.0)


@pytest.mark.parametrize("runtime_at", [docker_at, kubernetes_at])
def test_many_calls_at_once_leave_no_warnings(
    runtime_at: Callable[[HostileServer], Any], caplog: pytest.LogCaptureFixture
) -> None:
    together = Barrier(AT_ONCE)

    def answer(request: Request) -> Iterable[bytes] | None:
        if request.path.partition("?")[0].endswith(("/info", "/api/v1/nodes")):
            together.wait(10)  # all of them have a connection now
        is_of_docker = not request.path.startswith("/api/")
        return None if is_of_docker else whole({"items": [], "metadata": {}})

    docker = engine(lambda _: None)

    def either(request: Request) -> Iterable[bytes]:
        return answer(request) or docker(request)

    with hostile(either) as server, caplog.at_level(logging.WARNING):
        runtime = runtime_at(server)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            results = list(pool.map(lambda _: runtime.capacity(), range(AT_ONCE)))
        runtime.close()

    assert len(results) == AT_ONCE
    assert [each.getMessage() for each in caplog.records] == []
