"""The Docker runtime on a real engine, with the work that busybox can do."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from deployments.runtimes.base import Access
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.engine import IMAGE, DockerEngine
from deployments.tests.runtimes.docker.registry import ImageRegistry
from deployments.tests.runtimes.harness import Harness, Work

THREE_LINES = "echo one; echo two; echo three"


class Busybox(Harness):
    node = "node-1"

    def __init__(self, engine: DockerEngine) -> None:
        self.engine = engine
        self._clusters: set[str] = set()
        self._clean = ExitStack()

    def runtime(self, cluster_id: str, **options: Any) -> DockerRuntime:
        self._clusters.add(cluster_id)
        return DockerRuntime(self.engine.access, cluster_id=cluster_id, node=self.node, **options)

    def unreachable(self) -> DockerRuntime:
        access = Access("unix:///nowhere/docker.sock")
        return DockerRuntime(access, cluster_id="ours", node=self.node, timeout_s=1)

    def sleeps(self) -> Work:
        return Work(IMAGE, ("sleep",), ("600",))

    def deaf(self) -> Work:
        return self.shell("trap '' TERM INT; while true; do sleep 0.1; done")

    def exits(self, code: int) -> Work:
        return self.shell(f"exit {code}")

    def says_three_lines(self) -> Work:
        return self.shell(THREE_LINES)

    def says_three_lines_and_runs_on(self) -> Work:
        return self.shell(f"{THREE_LINES}; exec sleep 600")

    def reveals(self, variable: str, path: str) -> Work:
        return self.shell(f'echo "${variable}"; cat /run/secrets/{path}; echo')

    def has_no_such_command(self) -> Work:
        return Work(IMAGE, ("/no/such/program",))

    def has_no_such_image(self) -> Work:
        """Its registry says so, as the harness has no password for it."""
        return Work(self._clean.enter_context(ImageRegistry(b"", "ada", "x").serving()).image)

    def shell(self, line: str) -> Work:
        return Work(IMAGE, ("sh", "-c"), (line,))

    def clear_away(self) -> None:
        self._clean.close()
        for cluster_id in self._clusters:
            runtime = self.runtime(cluster_id)
            for status in runtime.observe():
                runtime.remove(status.key)
            runtime.close()


@pytest.fixture
def busybox(docker_engine: DockerEngine) -> Iterator[Busybox]:
    busybox = Busybox(docker_engine)
    yield busybox
    busybox.clear_away()


@pytest.fixture
def docker_runtime(busybox: Busybox) -> Iterator[DockerRuntime]:
    runtime = busybox.runtime("ours")
    yield runtime
    runtime.close()
