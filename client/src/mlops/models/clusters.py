"""Clusters, their nodes, quotas, volumes and queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlops.records import Record

if TYPE_CHECKING:
    from datetime import datetime

    from mlops.models.reasons import Allocation, Reason


class Cluster(Record):
    """Capacity and policy. Cores have three decimals, memory is in MiB."""

    available_cpu: float
    available_ram: int
    available_gpu: int
    closed_cpu: float
    closed_ram: int
    closed_gpu: int
    id: str
    name: str
    organization_id: str
    organization: str
    state: str
    state_change: StateChange | None
    runtime: str
    total_cpu: float
    total_ram: int
    total_gpu: int
    allocated_cpu: float
    allocated_ram: int
    allocated_gpu: int
    policy: Policy
    node_lost_after_s: int
    endpoint: ApiServer | None
    created_at: datetime


class StateChange(Record):
    """Who has set a cluster's state, when, and why."""

    at: datetime
    by: str | None
    reason: str | None


class ClusterStatus(Cluster):
    """A cluster with its utilisation, queue and nodes."""

    utilisation: Utilisation
    queue_lengths: dict[str, Any]
    running: int
    nodes: NodeCounts
    last_cycle: Cycle | None
    evaluated_at: datetime | None
    forecasts: Calibration


class Utilisation(Record):
    """Shares of the capacity that are allocated, from 0 to 1."""

    cpu: float
    ram: float
    gpu: float


class Utilization(Record):
    """How full a cluster was: a point for each step, oldest first."""

    step_s: int
    points: list[UtilizationPoint]


class UtilizationPoint(Record):
    """The means of one step's samples."""

    at: datetime
    total_cpu: float
    available_cpu: float
    allocated_cpu: float
    closed_cpu: float
    total_ram: float
    available_ram: float
    allocated_ram: float
    closed_ram: float
    total_gpu: float
    available_gpu: float
    allocated_gpu: float
    closed_gpu: float
    waiting: float
    running: float
    waiting_by_priority: dict[str, Any]


class NodeCounts(Record):
    """How many nodes are in each state."""

    total: int
    ready: int
    cordoned: int
    draining: int
    drained: int
    not_ready: int


class Calibration(Record):
    """How good the forecasts of starts were."""

    count: int
    p90_kept: float | None
    median_error_s: float | None


class Policy(Record):
    """How a cluster schedules."""

    queueing: str
    ordering: str
    preemption: str
    placement: str
    preempt_exempt_s: int
    reserve_after_s: int
    max_preemptions: int
    preemption_within_quota: str
    class_cost_ratio: int
    preemption_delay_s: int
    low_share_percent: int
    prepull: str
    fail_impossible_after_s: int | None


class ApiServer(Record):
    """The Kubernetes API server of a cluster."""

    url: str
    seen_at: datetime | None
    error: str | None
    away_since: datetime | None
    namespace: str


class Node(Record):
    """One machine of a cluster."""

    available_cpu: float
    available_ram: int
    available_gpu: int
    closed_cpu: float
    closed_ram: int
    closed_gpu: int
    id: str
    cluster_id: str
    cluster: str
    name: str
    state: str
    reason: str | None
    drain: DrainOfNode | None
    failed_starts: FailedStartsOfNode | None
    cpu: float
    ram: int
    gpu: int
    allocated_cpu: float
    allocated_ram: int
    allocated_gpu: int
    labels: dict[str, Any]
    endpoint: Endpoint | None
    pending: PendingOfNode | None


class DrainOfNode(Record):
    """How a node is being drained."""

    mode: str
    reason: str | None
    by: str | None
    since: datetime | None
    deadline: datetime | None
    drained_at: datetime | None


class FailedStartsOfNode(Record):
    """Starts that failed on a node, for which it is closed."""

    since: datetime
    next_try_at: datetime | None
    probe: str | None
    failed: list[FailedStartOfNode]


class FailedStartOfNode(Record):
    """One start that failed there."""

    deployment_id: str
    name: str
    code: str
    said: str
    at: datetime


class Endpoint(Record):
    """The Docker engine of a node."""

    url: str
    seen_at: datetime | None
    error: str | None
    away_since: datetime | None


class PendingOfNode(Record):
    """What happens to a node once deployments have left it."""

    delete: bool
    cpu: float
    ram: int
    gpu: int


class DrainedNode(Node):
    """A node, and what draining it does or would do."""

    dry_run: bool
    effect: DrainEffect | None


class DrainEffect(Record):
    """The deployments that a drain affects."""

    total: TotalAffectedByDrain
    deployments: list[AffectedByDrain]
    complete: bool


class TotalAffectedByDrain(Record):
    """All of them together."""

    deployments: int
    waiting: int
    lost_s: int
    lost_gpu_s: int


class AffectedByDrain(Record):
    """One deployment that a drain affects."""

    id: str
    name: str | None
    owner: str
    priority: str
    replicas: int
    gpu: int
    running_s: int
    ends_by: datetime | None
    lost_s: int
    goes_to: list[str]


class Window(Record):
    """A maintenance window of nodes."""

    id: str
    cluster_id: str
    cluster: str
    state: str
    begins_at: datetime
    ends_at: datetime
    mode: str
    reason: str
    node_names: list[str]
    node_selector: dict[str, Any]
    nodes: list[str]
    by: str
    created_at: datetime


class PlannedWindow(Window):
    """A window, and what it would affect at its begin."""

    dry_run: bool
    effect: DrainEffect | None


class Quota(Record):
    """Limits of one user in a cluster, or the default ones; null is no limit."""

    user_id: str | None
    username: str | None
    max_cpu: float | None
    max_ram: int | None
    max_gpu: int | None
    allocated: Allocation | None


class Waiting(Record):
    """One place in a cluster's queue."""

    id: str
    name: str
    owner_id: str
    owner: str
    priority: str
    required_cpu: float
    required_ram: int
    required_gpu: int
    replicas: int
    preemption_count: int
    created_at: datetime
    position: int | None
    reason: Reason | None


class Volume(Record):
    """Data that deployments of a cluster mount."""

    id: str
    name: str
    kind: str
    source: dict[str, Any]
    read_only: bool
    node_names: list[str]
    node_selector: dict[str, Any]
    created_at: datetime


class Registry(Record):
    """Where a cluster pulls images from."""

    id: str
    host: str
    username: str


class Cycle(Record):
    """One decision of the scheduler, as the ledger has it."""

    id: str
    cluster_id: str
    cluster: str
    trigger: str
    started_at: datetime
    load_ms: float
    plan_ms: float
    apply_ms: float
    evaluated: int
    started: int
    evicted: int
    waiting: int
    engine_version: str


class CycleWithPlan(Cycle):
    """A decision with its plan."""

    plan: Record | None
