"""Sweeps to test with."""

from typing import Any

from accounts.models import User
from clusters.models import Cluster
from deployments.models import Deployment, Status, Sweep
from deployments.services.drafting.drafts import Order
from deployments.services.sweeps.submit import Wanted, create_sweep
from deployments.tests.workloads import body

PATH = "/api/sweeps"


def sweep_body(cluster: Cluster, *, template: dict[str, Any] | None = None, **fields: Any) -> Any:
    """A sweep of six members, and `fields`; one that is None is left out."""
    given = {
        "matrix": {"lr": [0.1, 0.01], "seed": [1, 2, 3]},
        "template": body(cluster, **{"args": ["--lr", "{lr}"], **(template or {})}),
        **fields,
    }
    return {name: value for name, value in given.items() if value is not None}


def swept(user: User, cluster: Cluster, count: int = 3, **wanted: Any) -> Sweep:
    """A sweep of `count` members, made without HTTP."""
    spec = {"image": "busybox", "cpu_milli": 1000, "ram_mib": 512, "gpu": 1}
    orders = [Order(cluster.pk, {**spec, "args": [str(number)]}) for number in range(count)]
    parameters = [{"n": number} for number in range(count)]
    given: dict[str, Any] = {"name": "lr", "max_parallel": None, **wanted}
    return create_sweep(user, Wanted(parameters=parameters, orders=orders, **given)).sweep


def members(sweep: Sweep) -> list[Deployment]:
    return list(Deployment.objects.filter(sweep=sweep).order_by("id"))


def give(sweep: Sweep, *statuses: Status, **columns: Any) -> None:
    """Give the members these statuses, in their order."""
    for row, status in zip(members(sweep), statuses, strict=True):
        Deployment.objects.filter(pk=row.pk).update(status=status, **columns)
