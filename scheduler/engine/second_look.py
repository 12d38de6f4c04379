"""A second look at the preemptions of a cycle, class by class.

Where the workloads of one class have evicted others one after another, cheaper victims for all of
them together may exist (preemption/joint.py). The cycle is then planned again with these. The new
plan is kept only if the class starts the very same workloads, and its victims cost less.

All steps count in one budget. There is a second look only while enough exact steps are left for
another plan: a plan that has cost more stays as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from scheduler.engine.preemption.joint import Advice, Member, advice_for, price_of
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.snapshot import Workload
from scheduler.engine.state import CycleState

PlanAgain = Callable[[Mapping[str, Advice], int], CycleState]
"""The state after a cycle with this advice, whose budget begins with so many steps spent."""


def look_again(state: CycleState, plan_again: PlanAgain) -> CycleState:
    """The state with the cheapest victims that were found."""
    number, advice = 0, dict[str, Advice]()
    while number < len(state.rounds):
        if more := _advice_for(state, number):
            other = plan_again({**advice, **more}, state.budget.spent)
            seen = state.reconsidered.union(each.id for each in (*state.victims, *other.victims))
            if _is_better(other, state, number):
                state, advice = other, {**advice, **more}
            else:
                state.budget.spent = min(other.budget.spent, state.budget.most)
            state.reconsidered = seen
        number += 1
    return state


def _advice_for(state: CycleState, number: int) -> dict[str, Advice]:
    spent, evicted = state.budget.spent, _victims(state, number)
    started = _started(state, number)
    preemptors = {each.workload_id for each in state.starts if each.victims}
    members = [each for each in started if each.workload.origin.id in preemptors]
    value = state.rounds[number].value
    if len(members) < 2 or 2 * spent >= state.budget.exact:
        return {}
    if any(state.reservations.value(each.workload) != value for each in started):
        return {}
    if any(state.reservations.usable(each.workload) is not None for each in started):
        return {}
    searches, capacity = state.victim_searches(), state.capacity
    least_patient = max((each.workload for each in members), key=lambda each: each.queued_ms)
    _, candidates = searches.of(least_patient)
    patient = searches.is_patient(least_patient)
    gone = [
        each
        for each in state.victims[state.rounds[number].victims :]
        if patient or not each.is_exempt
    ]
    for victim in gone:
        candidates.add(victim)
    free, capacity.free = capacity.free, state.rounds[number].free
    exact, state.budget.exact = state.budget.exact, state.budget.exact - spent
    found = advice_for(started, value, evicted, capacity, candidates)
    capacity.free, state.budget.exact = free, exact
    for victim in gone:
        candidates.evict(victim)
    return found


def _started(state: CycleState, number: int) -> list[Member]:
    """What the round has started, since its first eviction."""
    value, first = state.rounds[number].value, state.rounds[number].starts

    def is_of_round(workload: Workload) -> bool:
        return state.reservations.value(workload) >= value

    these = slice(first, _end(state, number, "starts"))
    return [
        Member(workload, tuple(state.capacity.bins_of(start.placement)))
        for workload, start in zip(
            takewhile(is_of_round, state.admitted[these]), state.starts[these], strict=False
        )
    ]


def _victims(state: CycleState, number: int) -> Sequence[Candidate]:
    first = state.rounds[number].victims
    return state.victims[first : _end(state, number, "victims")]


def _end(state: CycleState, number: int, of: str) -> int | None:
    if number + 1 == len(state.rounds):
        return None
    following = state.rounds[number + 1]
    return following.starts if of == "starts" else following.victims


def _is_better(other: CycleState, state: CycleState, number: int) -> bool:
    if other.budget.spent > other.budget.exact or len(other.rounds) <= number:
        return False
    rounds = (other.rounds[number], state.rounds[number])
    if rounds[0].value != rounds[1].value or rounds[0].starts != rounds[1].starts:
        return False
    ids = [{m.workload.id for m in _started(s, number)} for s in (other, state)]
    if ids[0] != ids[1]:
        return False
    return price_of(_victims(other, number)) < price_of(_victims(state, number))
