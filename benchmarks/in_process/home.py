"""What the operators' pages cost in a large platform: server time of one request, in one process,
through the whole of Django. No web server, no worker.
"""

import time
from statistics import median
from typing import Any

from benchmarks.in_process import tables
from benchmarks.in_process.growth_rows import add_history, make_world, tidy
from benchmarks.report import Result
from benchmarks.servers import platform

ENDED, WAITING, RUNNING, MEMBERS = 70_000, 28_800, 1_000, 500
CALLS = 10  # of a round; the round's value is their median
PAGES = {
    "home": "/admin/",
    "clusters": "/admin/clusters/cluster/",
    "deployments": "/admin/deployments/deployment/",
    "nodes": "/admin/clusters/node/",
}


def measure(rounds: int) -> Result:
    result = Result(
        "home",
        "The operators' pages in a large platform",
        notes=[
            f"100,000 deployments ({WAITING:,} wait and {RUNNING:,} run in one cluster of "
            f"{tables.NODES:,} nodes), {MEMBERS} members. A round is the median of {CALLS} calls.",
        ],
    )
    with platform():
        operator = _platform()
        for name, path in PAGES.items():
            medians = [median(_time(operator, path) for _ in range(CALLS)) for _ in range(rounds)]
            result.add(f"GET {path} ({name})", "ms", medians)
    return result


def _platform() -> Any:
    """An operator who is logged in."""
    from django.test import Client

    from accounts.models import User
    from organizations.models import Membership, Role

    world = make_world()
    users = [User.objects.create_user(f"member{number:03}") for number in range(MEMBERS)]
    Membership.objects.bulk_create(
        Membership(organization=world.organization, user=user, role=Role.DEVELOPER)
        for user in users
    )
    add_history(ENDED)
    large = tables.make_cluster("large", cpu=1, ram=1, gpu=1)
    tables.make_nodes(large)
    for status, count in (("RUNNING", RUNNING), ("QUEUED", WAITING)):
        tables.fill(large, count, 10, status=status, gpu_of=lambda n: 1, owners=users)
    tidy()
    client = Client(HTTP_HOST="localhost")
    client.force_login(world.operator)
    return client


def _time(client: Any, path: str) -> float:
    began = time.perf_counter()
    answer = client.get(path)
    assert answer.status_code == 200, answer.status_code
    return (time.perf_counter() - began) * 1000
