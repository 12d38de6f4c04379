"""The planner's input: one cluster at one moment, frozen.

Times are integer milliseconds since the Unix epoch (`_ms`), durations whole seconds (`_s`).
Ids are text that sorts by submit time where times are equal (UUIDv7).
"""

from dataclasses import dataclass

from scheduler.engine.resources import Resources

# Policies, by the names of the REST contract.
BEST_EFFORT, STRICT, EASY_BACKFILL = "best_effort", "strict", "easy_backfill"
GPU_WEIGHTED, FIFO, FAIR_SHARE = "gpu_weighted", "fifo", "fair_share"
LOWER_PRIORITY, NEVER = "lower_priority", "never"
BINPACK, SPREAD = "binpack", "spread"
# States of a cluster; a node is READY, CORDONED (takes nothing new), DRAINING or NOT_READY.
ACTIVE, PAUSED, DRAINING = "ACTIVE", "PAUSED", "DRAINING"
READY, CORDONED, NOT_READY = "READY", "CORDONED", "NOT_READY"
DEFAULT_QUOTA = ""  # the owner of the quota of all that have none of their own

Labels = tuple[tuple[str, str], ...]  # (name, value), sorted by name

# A volume that only some nodes have is a label of these, which the workloads that mount it ask for.
# No label of a user has a colon in its name.
VOLUME = "volume:"

# The same of a node that a workload avoids: all other nodes have the label with its id.
OTHER_THAN = "other_than:"

# Of a window: what still runs on its nodes at its begin is evicted then.
NOW = "now"

# What each replica of a workload takes beyond its request: all of its node, or all the node's GPUs.
NODE, GPUS = "node", "gpus"


@dataclass(frozen=True, slots=True)
class PriorityClass:
    """A named urgency; the higher value goes first."""

    name: str
    value: int
    may_preempt: bool
    preemptible: bool


@dataclass(frozen=True, slots=True)
class Policy:
    queueing: str = BEST_EFFORT
    ordering: str = GPU_WEIGHTED
    preemption: str = LOWER_PRIORITY
    placement: str = BINPACK
    preempt_exempt_s: int = 0
    reserve_after_s: int = 3600
    max_preemptions: int = 5
    preemption_within_quota: str = NEVER
    class_cost_ratio: int = 0
    preemption_delay_s: int = 0
    low_share_percent: int = 0
    assumed_runtime_s: int = 14_400


@dataclass(frozen=True, slots=True)
class Node:
    """A machine. A cluster without nodes is one pool of its totals.

    What has a checkpoint of `saved_since_ms` or later leaves it: a closed node that is drained at
    checkpoints.
    """

    id: str
    name: str
    capacity: Resources
    allocated: Resources
    labels: Labels = ()
    state: str = READY
    saved_since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Placement:
    """So many replicas on a node; `node_id` is None in a pool."""

    node_id: str | None
    replicas: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A waiting deployment. Workloads of one `scheduling_key` differ only in id, times, the number
    of their preemptions so far, and whether they are services, which changes nothing for
    themselves. Those with `max_preemptions` have another key than those with fewer.

    `submitted_ms` orders it and survives a preemption; it has waited since `queued_ms`.

    One that takes whole nodes (`whole` is NODE or GPUS) asks for at least its request. The planner
    makes of it one variant for each size of node (whole_nodes/variants.py), each `variant_of` it.
    """

    id: str
    scheduling_key: str
    priority: str
    request: Resources  # of one replica
    replicas: int
    submitted_ms: int
    queued_ms: int
    selector: Labels = ()  # the node must carry all of these
    limit_s: int | None = None  # it is ended after running so long
    owner: str = ""  # the user that submitted it, where that matters (Snapshot.by_owner)
    endless: bool = False  # a service without a time limit: it ends if stopped or evicted
    preemptions: int = 0
    whole: str = ""
    sweep: str = ""  # the sweep that it is a member of
    variant_of: "Workload | None" = None

    @property
    def total(self) -> Resources:
        return self.request if self.replicas == 1 else self.request.times(self.replicas)

    @property
    def origin(self) -> "Workload":
        """The workload of the queue: of a variant, the one that it is a variant of."""
        return self if self.variant_of is None else self.variant_of


@dataclass(frozen=True, slots=True)
class Running:
    """A deployment with an allocation since `admitted_ms`, which only matters while it is STARTING:
    then `started_ms` is None. One that is `stopping` is here only where its end matters."""

    id: str
    priority: str
    request: Resources
    replicas: int
    placement: tuple[Placement, ...]
    started_ms: int | None
    checkpoint_ms: int | None
    preemptions: int
    ends_ms: int | None = None  # at the latest, where it has a time limit
    owner: str = ""
    endless: bool = False
    admitted_ms: int | None = None
    stopping: bool = False
    sweep: str = ""

    @property
    def total(self) -> Resources:
        return self.request if self.replicas == 1 else self.request.times(self.replicas)


@dataclass(frozen=True, slots=True)
class ReservationRecord:
    """A waiting workload for which capacity is reserved since `since_ms`; None if it no longer is.
    `before_ms` is for how long in all it was, before that."""

    workload_id: str
    before_ms: int
    since_ms: int | None

    def lasted_ms(self, now_ms: int) -> int:
        return self.before_ms + (0 if self.since_ms is None else max(now_ms - self.since_ms, 0))


@dataclass(frozen=True, slots=True)
class SweepLimit:
    """A sweep, of which at most `limit` members may have an allocation at once, and `allocated`
    have one."""

    id: str
    limit: int
    allocated: int


@dataclass(frozen=True, slots=True)
class Window:
    """From `begins_ms` to `ends_ms` the nodes of the ids take nothing. It has closed those of
    `closed_ids`, which are open again at its end. `mode`: what becomes of what runs at its begin,
    NOW or one that evicts nothing then. `reason` is for people."""

    id: str
    reason: str
    mode: str
    begins_ms: int
    ends_ms: int
    node_ids: tuple[str, ...]
    closed_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image of workloads that start, and the nodes that have it: `nodes` counts these from 0, in
    the order of their ids."""

    workload_ids: tuple[str, ...]
    nodes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One cluster at `now_ms`, the planner's only clock.

    `allocated` counts every allocation; `running` may leave out what no waiting workload could
    evict. `queued` may leave out the back of a scheduling key, as long as one of the key that it
    includes does not start. `max_starts` bounds the work of one cycle. `allocated_by_owner`, where
    that matters, is the sum of each owner's allocations, also of those left out. `quotas` are the
    most that each owner may have allocated at once, sorted by owner, and that of DEFAULT_QUOTA.
    `reservation_history`, by id, is what earlier cycles leave to this one (history.py).
    `most_steps` bounds the plan's work (budget.py) where it is to be less than usual; 0 elsewhere.
    `local_images` are read once it is decided what starts, and choose between equal nodes.
    `sweeps`, by id, are those with a limit of which a member waits.
    `windows`, by begin and id, are those of nodes, and no node is in two at once.
    """

    cluster_id: str
    state: str
    policy: Policy
    total: Resources
    allocated: Resources
    classes: tuple[PriorityClass, ...]
    nodes: tuple[Node, ...]
    running: tuple[Running, ...]
    queued: tuple[Workload, ...]
    now_ms: int
    max_starts: int
    allocated_by_owner: tuple[tuple[str, Resources], ...] = ()
    quotas: tuple[tuple[str, Resources], ...] = ()
    reservation_history: tuple[ReservationRecord, ...] = ()
    most_steps: int = 0
    local_images: tuple[LocalImage, ...] = ()
    sweeps: tuple[SweepLimit, ...] = ()
    windows: tuple[Window, ...] = ()

    @property
    def by_owner(self) -> bool:
        """Whether the owners of workloads matter."""
        return bool(self.quotas) or self.policy.ordering == FAIR_SHARE
