"""A cluster to schedule in, and submits that skip the HTTP door."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment
from deployments.services.submit import create_deployment
from mlops_platform.coordination.redis import redis_client
from organizations.models import Organization
from scheduler import cycle
from scheduler.models import Trigger
from scheduler.queues.queue_sync import mend

Submit = Callable[..., Deployment]


@pytest.fixture
def cluster(org: Organization) -> Cluster:
    """8 GPUs, 64 cores, 512 GiB, in `org`."""
    return Cluster.objects.create(
        organization=org,
        name="pool",
        total_cpu_milli=64_000,
        total_ram_mib=512 * 1024,
        total_gpu=8,
    )


@pytest.fixture
def submit(dev: User, cluster: Cluster) -> Submit:
    """`submit("HIGH", gpu=2)` as the developer."""

    def submit(
        priority: str = "LOW",
        *,
        gpu: int = 0,
        cpu: int = 1,
        into: Cluster = cluster,
        **more: object,
    ) -> Deployment:
        spec = {"image": "busybox", "cpu_milli": cpu * 1000, "ram_mib": 1024, "gpu": gpu, **more}
        return create_deployment(dev, into.pk, spec, priority=priority).deployment

    return submit


def run_cycle(cluster: Cluster) -> cycle.CycleResult:
    outcome = cycle.run(cluster.pk, Trigger.SUBMITTED)
    assert outcome is not None
    mend(cluster.pk)  # as the task does; in a test's transaction nothing else reaches Redis
    return outcome


@pytest.fixture
def no_redis(settings: Settings, tmp_path: Path) -> None:
    """Redis is away for whatever goes through the project's client."""
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"


def messages() -> int:
    """How many tasks wait in the broker for a worker."""
    return int(redis_client().llen("scheduler"))
