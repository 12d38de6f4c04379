"""A platform for all tests of the client: web server, worker and timer, on the tests' own database
and Redis.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.core.management import call_command
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.equipment.server import COMMAND, running_server
from mlops_platform.tests.equipment.workers import environment_of_tests

from mlops import Client
from mlops.finding import LIVE
from mlops.profiles import Profile, ProfileFile, Profiles
from tests.equipment import Scripted, scripted_server
from tests.terminal import Terminal

PASSWORD = "correct-horse-battery"
STOP_TIMEOUT_S = 60.0
WORKER = ("celery", "--quiet", "--app=mlops_platform", "worker", "--pool=solo")
PROCESSES = ((*WORKER, "--queues=scheduler", "--without-gossip"), ("scheduler.timer",))


class Lab(NamedTuple):
    """An organization with two users, a cluster of eight GPUs without nodes, and one with two."""

    url: str
    ada: Client
    grace: Client
    organization: str
    cluster: str
    nodes_cluster: str


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="package")
def platform(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of a platform. All its rows are deleted at the end."""
    folder = tmp_path_factory.mktemp("platform")
    with ExitStack() as stack:
        stack.callback(_delete_all_rows, django_db_blocker)
        with django_db_blocker.unblock():
            environment = environment_of_tests()
            server = stack.enter_context(running_server(environment, COMMAND, folder))
        for number, command in enumerate(PROCESSES):
            stack.enter_context(_process(command, environment, folder / f"log-{number}"))
        try:
            yield server.address
        finally:
            print(f"--- web ---\n{server.log.read_text(errors='replace')}")  # noqa: T201 - pytest shows it


def _delete_all_rows(django_db_blocker: Any) -> None:
    with django_db_blocker.unblock():
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="package")
def lab(platform: str) -> Lab:
    ada, grace = Client(platform, ""), Client(platform, "")
    for client, name in ((ada, "ada"), (grace, "grace")):
        client.users.register(username=name, password=PASSWORD)
        client.login(name, PASSWORD)
    engines = ada.organizations.create(name="Analytical Engines")
    grace.organizations.join(invite_code=engines.developer_invite_code)
    ada.clusters.create(
        organization_id=engines.id, name="gpu-east", total_cpu=64, total_ram="256Gi", total_gpu=8
    )
    ada.clusters.create(
        organization_id=engines.id, name="gpu-west", total_cpu=1, total_ram=1, total_gpu=0
    )
    for name in ("node-1", "node-2"):
        ada.nodes.create("gpu-west", name=name, cpu=16, ram="64Gi", gpu=4)
    return Lab(platform, ada, grace, "Analytical Engines", "gpu-east", "gpu-west")


@pytest.fixture
def mlops(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Terminal]:
    """A shell of ada, who is logged in and uses the cluster without nodes. What a test that failed
    has left running takes no capacity from the next."""
    as_user(lab.ada, lab.cluster, tmp_path / "ada.json", monkeypatch)
    yield Terminal(capsys)
    left = list(lab.ada.deployments.list(status=LIVE, fields="name"))
    if left:
        lab.ada.deployments.act(action="stop", ids=left)


def as_user(client: Client, cluster: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let commands be those of a client's user, by a profile at `path`."""
    for name in ("URL", "TOKEN", "PROFILE", "CLUSTER", "ORGANIZATION"):
        monkeypatch.delenv(f"MLOPS_{name}", raising=False)
    monkeypatch.setenv("MLOPS_CONFIG", str(path))
    transport = client.transport
    token = transport.credentials.token(transport) or ""
    file = ProfileFile()
    profile = Profile("lab", transport.url, access_token=token, cluster=cluster)
    with file.locked():
        file.write(Profiles("lab", {"lab": profile}))


@contextmanager
def _process(command: tuple[str, ...], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        print(f"--- {command[0]} ---\n{log.read_text(errors='replace')}")  # noqa: T201 - pytest shows it
