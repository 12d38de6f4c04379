"""What the scheduler answers: quotes, explanations, counts and actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.models.reasons import Allocation, Eta, Reason


class Quote(Record):
    """What a submit would get now; `token` sent with it gets exactly that."""

    outcome: str
    preempts: list[Evicted]
    reason: Reason | None
    queue_position: int | None
    ahead: Ahead | None
    eta: Eta | None
    earliest_start: datetime | None
    preemption: Preemption | None
    complete: bool
    warnings: list[SubmitWarning]
    valid_s: int
    token: str


class SubmitWarning(Record):
    """What is accepted, and may not be as intended."""

    code: str
    field: str
    message: str


class Explanation(Record):
    """Why a deployment waits, and what would let it start now."""

    id: str
    status: str
    reason: Reason | None
    queue_position: int | None
    ahead: Ahead | None
    eta: Eta | None
    reserved_since: datetime | None
    earliest_start: datetime | None
    preemption: Preemption | None
    allocated_to: list[AllocatedTo]
    starts_now_with: StartsNowWith | None
    complete: bool


class Ahead(Record):
    """How many come before it in the scheduling order, each by its first rule."""

    higher_class: int
    larger_share: int
    less_allocated: int
    earlier: int
    impossible: int
    total: int
    order: list[str]
    message: str


class Evicted(Record):
    """A deployment that would be evicted, and the seconds of work that it would lose."""

    deployment_id: str
    name: str
    owner: str
    lost_s: int


class AllocatedTo(Record):
    """A running deployment that has allocated what another one lacks."""

    deployment_id: str
    name: str
    owner: str
    priority: str
    allocated: Allocation
    ends_at: datetime | None


class Preemption(Record):
    """Why nothing is preempted for it, and from when it is."""

    starts_at: datetime | None
    message: str | None
    spared: list[Spared]


class Spared(Record):
    """Running deployments that stay, by the cause."""

    cause: str
    message: str
    count: int
    until: datetime | None
    deployments: list[SparedDeployment]


class SparedDeployment(Record):
    """One that stays, by name."""

    deployment_id: str
    name: str
    owner: str
    priority: str
    until: datetime | None


class StartsNowWith(Record):
    """Changed requests with which it would start now."""

    nothing_changed: bool | None
    less: list[Less]
    without_volumes: list[str]
    without_exclusive: bool
    without_labels: dict[str, Any]
    max_runtime_s: int | None
    priority: HigherPriority | None
    another_cluster: list[AnotherCluster]
    after: After


class Less(Record):
    """The most of one resource with which it would start now."""

    field: str
    at_most: float


class HigherPriority(Record):
    """The lowest priority that would start it."""

    priority: str
    evicts: list[Evicted]


class AnotherCluster(Record):
    """Another cluster of the organization that would take it."""

    cluster_id: str
    name: str
    evicts: list[Evicted]


class After(Record):
    """When time limits let it start, and after which ends."""

    at: datetime | None
    end_of: str | None
    end_of_name: str | None
    any_one_of: list[str]
    any_one_of_names: list[str]


class Counts(Record):
    """How many deployments there are in each status."""

    counts: dict[str, Any]
    capped: list[str]


class ActionAnswer(Record):
    """What an action on many deployments did, or would do."""

    action: str
    dry_run: bool
    chosen: int
    done: int
    by_status: dict[str, Any]
    unchanged: int
    refused: int
    first: list[ChangedDeployment]
    refusals: list[RefusedDeployment]
    submitted: list[str]
    submitted_names: list[str]
    evicted: int | None
    evicts_unknown: str | None


class ChangedDeployment(Record):
    """One that an action changed."""

    id: str
    name: str
    evicts: list[Evicted] | None


class RefusedDeployment(Record):
    """One that an action could not change, and why."""

    id: str
    name: str | None
    code: str
    detail: str
