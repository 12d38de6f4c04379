"""How many waiting deployments are ahead of one in the scheduling order, and by which rule.

Those that not even the empty cluster could run are ahead of none, whatever their class: they stand
at the end of the line. Only numbers are shown, no names.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from deployments.models import Deployment
from deployments.scheduling_key import OWNER
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.queue.fair_share import OwnerUsage
from scheduler.engine.queue.order import policy_key
from scheduler.engine.snapshot import FAIR_SHARE, GPU_WEIGHTED, Snapshot, Workload
from scheduler.engine.wait_reasons import impossible
from scheduler.store import Part
from scheduler.store.queue.line import Group, groups_in_line

# The rules of the scheduling order by policy (engine/queue/order.py), in words.
CLASS, ASKED, ALLOCATED, TIME = "class", "share asked for", "share allocated to the owner", "time"
RULES = {
    GPU_WEIGHTED: (CLASS, ASKED, TIME),
    FAIR_SHARE: (CLASS, ALLOCATED, TIME),
}
NO_SHARES = (CLASS, TIME)

HIGHER_CLASS, LARGER_SHARE, LESS_ALLOCATED = "higher_class", "larger_share", "less_allocated"
EARLIER, IMPOSSIBLE = "earlier", "impossible"
PHRASES = {
    HIGHER_CLASS: "{} of a higher class",
    LARGER_SHARE: "{} of your class with a larger share",
    LESS_ALLOCATED: "{} of your class whose {owners} less allocated",
    EARLIER: "{} that came earlier in your class",
}
AT_THE_END = "At the end of the line: not even the empty cluster could run it."


def ahead_of(deployment: Deployment, workload: Workload, ever: Part) -> dict[str, Any] | None:
    """The values of AheadSerializer; None where more wait than one answer counts. One query.

    `ever` is what could start once others have ended (store/part_reader.py).
    """
    groups = groups_in_line(deployment.cluster_id, deployment.pk, is_new=deployment._state.adding)
    if groups is None:
        return None
    return counted(ever.snapshot, workload, groups, _could_start(ever))


def counted(
    snapshot: Snapshot, workload: Workload, groups: list[Group], could: Callable[[Group], bool]
) -> dict[str, Any]:
    rule_of = _rule(snapshot, workload)
    counts = dict.fromkeys((*PHRASES, IMPOSSIBLE), 0)
    at_end = impossible(Capacity(snapshot), workload) is not None
    total = 0
    for group in groups:
        if not could(group):
            counts[IMPOSSIBLE] += group.waiting
            total += group.earlier if at_end else 0
        elif at_end:
            total += group.waiting
        elif (rule := rule_of(group)) is not None:
            counts[rule] += group.earlier if rule == EARLIER else group.waiting
    total += sum(counts[name] for name in PHRASES)
    order = RULES.get(snapshot.policy.ordering, NO_SHARES)
    return {
        **counts,
        "total": total,
        "order": list(order),
        "message": _message(counts, order, at_end=at_end),
    }


def _message(counts: dict[str, int], order: tuple[str, ...], *, at_end: bool) -> str:
    if at_end:
        return AT_THE_END
    parts = [
        phrase.format(counts[name], owners="owner has" if counts[name] == 1 else "owners have")
        for name, phrase in PHRASES.items()
        if counts[name]
    ]
    first = ", ".join(parts) if parts else "Nothing is ahead of it"
    return f"{first}; order: {', '.join(order)}."


def _rule(snapshot: Snapshot, workload: Workload) -> Callable[[Group], str | None]:
    """By which rule a group is ahead: EARLIER where only the submit times decide, None where it is
    behind as a whole."""
    values = {each.name: each.value for each in snapshot.classes}
    usage, policy, total = OwnerUsage(snapshot), snapshot.policy, snapshot.total
    own_value, own_key = (
        values[workload.priority],
        policy_key(policy.ordering, workload.total, total),
    )

    def rule(group: Group) -> str | None:
        if (value := values[group.priority]) != own_value:
            return HIGHER_CLASS if value > own_value else None
        if policy.ordering == FAIR_SHARE:
            share, own = usage.share(_owner_of(group)), usage.share(workload.owner)
            if share != own:
                return LESS_ALLOCATED if share < own else None
        elif (key := policy_key(policy.ordering, group.total, total)) != own_key:
            return LARGER_SHARE if key < own_key else None
        return EARLIER

    return rule


def _owner_of(group: Group) -> str:
    owner = group.scheduling_key.rpartition(OWNER)[2]
    return str(UUID(owner)) if len(owner) == 32 else ""


def _could_start(ever: Part) -> Callable[[Group], bool]:
    """Whether the empty cluster could run a group. Of a queue with more scheduling keys than were
    read, the sizes alone decide for those that were not."""
    capacity = Capacity(ever.snapshot)
    seen = {
        each.scheduling_key: impossible(capacity, each) is None for each in ever.snapshot.queued
    }

    def could(group: Group) -> bool:
        known = seen.get(group.scheduling_key)
        if known is not None:
            return known
        return ever.last is not None and group.total.fits_in(ever.snapshot.total)

    return could
