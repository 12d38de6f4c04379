"""What hours cost an organization, by the labels of nodes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts.models import User
from deployments.usage.models import Price
from mlops_platform.api.errors import not_found
from mlops_platform.database.row_waits import lock_row
from organizations.access import require
from organizations.events.models import OrganizationEventType, TargetType
from organizations.events.recording import Target, record
from organizations.models import Organization, Role

MILLI = 1000
PER_HOUR = ("gpu_hour", "core_hour", "gib_hour")


def prices_of(organization_id: UUID) -> list[Price]:
    """In the order in which they are tried. One query."""
    return list(Price.objects.filter(organization=organization_id).order_by("rank"))


def put_prices(
    actor: User, organization_id: UUID, prices: Sequence[Mapping[str, Any]]
) -> list[Price]:
    """Replace all prices of the organization; ADMIN only. Amounts are thousandths."""
    with transaction.atomic():
        require(actor, organization_id, Role.ADMIN)
        with _changing(organization_id, actor):
            Price.objects.filter(organization=organization_id).delete()
            made = [_price(organization_id, rank, given) for rank, given in enumerate(prices)]
            Price.objects.bulk_create(made)
    return prices_of(organization_id)


def keep_price(price: Price) -> None:
    """For operators: one price, new or changed."""
    with transaction.atomic(), _changing(price.organization_id):
        price.save()


def delete_price(price: Price) -> None:
    """For operators."""
    with transaction.atomic(), _changing(price.organization_id):
        price.delete()


@contextmanager
def _changing(organization_id: UUID, actor: User | None = None) -> Iterator[None]:
    """Within a transaction: locks the organization, and records its prices before and after."""
    organization = lock_row(Organization.objects.filter(deleted_at=None), organization_id)
    if organization is None:
        raise not_found()
    before = list(map(_shown, prices_of(organization_id)))
    yield
    record(
        organization_id,
        OrganizationEventType.ORGANIZATION_CHANGED,
        Target(TargetType.ORGANIZATION, organization_id, organization.name),
        before={"prices": before},
        after={"prices": list(map(_shown, prices_of(organization_id)))},
        actor=actor,
    )


def _shown(price: Price) -> dict[str, Any]:
    labels = {price.label: price.value} if price.label else {}
    return {"node_labels": labels} | {name: float(getattr(price, name)) for name in PER_HOUR}


def _price(organization_id: UUID, rank: int, given: Mapping[str, Any]) -> Price:
    [(label, value)] = given["node_labels"].items() or [("", "")]
    amounts = {name: Decimal(given[name]) / MILLI for name in PER_HOUR}
    return Price(organization_id=organization_id, rank=rank, label=label, value=value, **amounts)
