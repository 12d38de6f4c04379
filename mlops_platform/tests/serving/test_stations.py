"""How many functions of the project a request passes through: each is a station for a reader who
follows it.

Counted are the different functions and methods of this repository that are called; a comprehension
and a lambda belong to the function around it. RUNNING is what the commit of the cycle makes a
deployment; the queues of Redis, the metrics and the log follow it. The limits are what the code has
now: lower them when a step goes, and raise them only for a step that a reader would miss.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from accounts.models import User
from clusters.models import Cluster
from clusters.tests.allocation import make_cluster
from deployments.models import Deployment, Status
from deployments.tests.workloads import body
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from organizations.tests.people import JsonClient
from scheduler.tasks import schedule_cluster

pytestmark = pytest.mark.django_db(transaction=True)

REPOSITORY = Path(__file__).resolve().parents[3]
PATH = "/api/deployments"
Station = tuple[str, str]  # file, qualified name


FIRST_AFTER_COMMIT = ("scheduler/queues/queue_sync.py", "follow")


@contextmanager
def traced(until: Station | None = None) -> Iterator[set[Station]]:
    """The stations of the block, on this thread, before `until` is called."""
    stations: set[Station] = set()
    known: dict[CodeType, Station | None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            if code not in known:
                known[code] = station_of(code)
            station = known[code]
            if station is not None and until is not None and station == until:
                sys.setprofile(None)
            elif station is not None:
                stations.add(station)

    sys.setprofile(note)
    try:
        yield stations
    finally:
        sys.setprofile(None)


def station_of(code: CodeType) -> Station | None:
    """None for code of libraries and tests, and for `<lambda>`, `<listcomp>` and the like."""
    path = Path(code.co_filename)
    if not path.is_relative_to(REPOSITORY) or code.co_name.startswith("<"):
        return None
    file = path.relative_to(REPOSITORY)
    if file.parts[0].startswith(".") or "tests" in file.parts:
        return None
    return str(file), code.co_qualname


def listed(stations: set[Station]) -> str:
    """For the message of a failure."""
    files = {file for file, _ in stations}
    lines = [f"{len(stations)} functions in {len(files)} files", *map(": ".join, sorted(stations))]
    return "\n".join(lines)


def run_tasks(cluster: Cluster) -> None:
    """Run the cycles of the cluster that wait in the broker, in this process."""
    while redis_client().lpop("scheduler"):
        schedule_cluster(str(cluster.pk))


def status_of(answer: dict[str, Any]) -> str:
    return Deployment.objects.get(pk=answer["id"]).status


@pytest.fixture
def client(api: Callable[[User], JsonClient], dev: User, cluster: Cluster) -> JsonClient:
    """The developer's client, where the process and the cluster have run and stopped one before."""
    client = api(dev)
    answer = client.post(PATH, body(cluster, name="train")).json()
    run_tasks(cluster)
    assert client.post(f"{PATH}/{answer['id']}/stop").status_code == 200
    run_tasks(cluster)
    return client


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    """With one GPU, which each deployment asks for."""
    return make_cluster(org, total_gpu=1)


def test_a_submit_and_its_way_to_running_have_few_stations(
    client: JsonClient, cluster: Cluster
) -> None:
    with traced() as post:
        response = client.post(PATH, body(cluster, name="train"))
    assert (response.status_code, status_of(response.json())) == (201, Status.QUEUED)
    with traced(until=FIRST_AFTER_COMMIT) as cycle:
        run_tasks(cluster)
    assert status_of(response.json()) == Status.RUNNING
    assert len(post) <= 51, listed(post)
    assert len(post | cycle) <= 150, listed(post | cycle)


def test_a_preemption_and_a_stop_have_few_stations(client: JsonClient, cluster: Cluster) -> None:
    low = client.post(PATH, body(cluster, name="train")).json()
    run_tasks(cluster)
    with traced() as preemption:
        high = client.post(PATH, body(cluster, name="train", priority="HIGH")).json()
        run_tasks(cluster)
    assert (status_of(low), status_of(high)) == (Status.QUEUED, Status.RUNNING)
    with traced() as stop:
        client.post(f"{PATH}/{high['id']}/stop")
    assert status_of(high) == Status.STOPPED
    assert len(preemption) <= 265, listed(preemption)
    assert len(stop) <= 63, listed(stop)
