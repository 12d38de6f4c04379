"""Why a deployment waits: the sentence, which deployments have what it needs, and offers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from accounts.models import User
from deployments.models import Deployment
from deployments.names import named
from mlops_platform.admin.markup import request as asked_for
from mlops_platform.api.resources import PUBLIC_NAMES, UNITS
from organizations.access import reaches, role_in
from organizations.models import Role
from scheduler.answers import offers
from scheduler.answers.explain import explain
from scheduler.answers.offers import CLUSTER, PRIORITY, Offer

UNIT_OF = {f"required_{public}": UNITS[column] for column, public in PUBLIC_NAMES.items()}


class Occupant(NamedTuple):
    """A deployment that has allocated what this one is short of."""

    id: UUID
    name: str
    owner: str
    priority: str
    has: str
    ends_at: datetime | None


class Choice(NamedTuple):
    """An offer as a button."""

    text: str
    change: str
    token: str


@dataclass(frozen=True)
class Why:
    id: UUID
    name: str
    is_complete: bool
    reason: str
    ahead: str
    eta: str
    position: int | None
    outlook: str
    """What time will bring, in a sentence."""
    spared: list[str]
    occupants: list[Occupant]
    choices: list[Choice]
    may_act: bool
    waits: bool


def why(user: User, deployment: Deployment) -> Why:
    """The explanation of the API, and for those who may act the offers."""
    found = explain(deployment)
    role = role_in(user, deployment.cluster.organization_id)
    may_act = role is not None and reaches(role, Role.DEVELOPER)
    made = offers.offers(user, deployment, found) if may_act else []
    preemption = found["preemption"] or {}
    owner = deployment.owner.username
    return Why(
        id=deployment.pk,
        name=named(deployment.pk, deployment.name, owner, deployment.image, deployment.kind).name,
        is_complete=found["complete"],
        reason=(found["reason"] or {}).get("message", ""),
        ahead=(found["ahead"] or {}).get("message", ""),
        eta=(found["eta"] or {}).get("message", ""),
        position=found["queue_position"],
        outlook=preemption.get("message") or "",
        spared=[each["message"] for each in preemption.get("spared", ())],
        occupants=[_occupant(each) for each in found["allocated_to"]],
        choices=[Choice(in_words(each), str(each.change), each.token) for each in made],
        may_act=may_act,
        waits=found["starts_now_with"] is not None,
    )


def _occupant(found: Mapping[str, Any]) -> Occupant:
    amounts = found["allocated"]
    return Occupant(
        found["deployment_id"],
        found["name"],
        found["owner"],
        found["priority"],
        asked_for(amounts.get("cpu", 0), amounts.get("ram", 0), amounts.get("gpu", 0)),
        found["ends_at"],
    )


def in_words(offer: Offer) -> str:
    """`Ask for 1 GPU`, `As HIGH (evicts nightly of ada, 12 min lost)`, `Move to gpu-east`."""
    field, value = offer.change
    if field == PRIORITY:
        said = f"As {value}"
    elif field == CLUSTER:
        said = f"Move to {offer.cluster}"
    else:
        one, many = UNIT_OF[field]
        said = f"Ask for {value} {one if value == '1' else many}"
    return f"{said} ({victims_in_words(offer.evicts)})" if offer.evicts else said


def victims_in_words(evicts: Sequence[Mapping[str, Any]]) -> str:
    """`evicts nightly of ada; 12 min of work lost`."""
    named_ones = [f"{each['name']} of {each['owner']}" for each in evicts[:3]]
    if len(evicts) > 3:
        named_ones.append(f"{len(evicts) - 3} more")
    lost_s = sum(each["lost_s"] for each in evicts)
    return f"evicts {', '.join(named_ones)}; {time_in_words(lost_s)} of work lost"


def time_in_words(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
