"""Which of a cycle's running workloads each preemptor may evict."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates, candidates_of
from scheduler.engine.preemption.exemption import is_patient
from scheduler.engine.preemption.search import PreemptionSearch
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.snapshot import PriorityClass, Snapshot, Workload

# Patience; with a class_cost_ratio the preemptor's value; and that value where some are relied on.
_Kind = tuple[bool, int | None, int | None]

CHANGE_STEPS = 8  # of a candidate that is left out, or no longer is


class Searches:
    """The searches of patient and of impatient preemptors: from the latter, young workloads are
    exempt. Each is made when it is first asked for, and both see every eviction.

    With a `class_cost_ratio` no class goes before another: the weights alone tell them apart, so
    all candidates of a preemptor are of one value. Then each class that preempts has its own.

    Of equal waiting workloads the first in the scheduling order is asked for, and answers for all.
    """

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self._policy, self._now_ms = snapshot.policy, snapshot.now_ms
        self._capacity = capacity
        self._left = {each.id: each for each in candidates_of(snapshot, capacity, classes)}
        self._any_exempt = any(each.is_exempt for each in self._left.values())
        self._made: dict[_Kind, tuple[PreemptionSearch, Candidates]] = {}
        self._left_out: dict[_Kind, dict[str, Candidate]] = {}  # by id
        self._values = {name: each.value for name, each in classes.items()}
        # The value that all candidates get where classes have a ratio.
        self._one_tier = min((each.value for each in self._left.values()), default=0)
        # By the only ids that may be evicted.
        self._among: dict[frozenset[str], tuple[PreemptionSearch, Candidates]] = {}

    def of(
        self, preemptor: Workload, relied_on: frozenset[str] | None = None
    ) -> tuple[PreemptionSearch, Candidates]:
        """The search, and the candidates that it searches: without those that are `relied_on`,
        where promises bind the preemptor."""
        has_ratio, value = self._policy.class_cost_ratio > 0, self._values[preemptor.priority]
        kind = (
            not self._any_exempt or is_patient(preemptor, self._policy, self._now_ms),
            value if has_ratio else None,
            None if relied_on is None else value,
        )
        patient = kind[0]
        if kind not in self._made:
            allowed = [each for each in self._left.values() if patient or not each.is_exempt]
            if (below := kind[1]) is not None:
                allowed = [
                    replace(each, value=self._one_tier) for each in allowed if each.value < below
                ]
            candidates = Candidates(self._capacity, allowed)
            self._made[kind] = PreemptionSearch(self._capacity, candidates), candidates
        if relied_on is not None:
            self._leave_out(kind, relied_on)
        return self._made[kind]

    def _leave_out(self, kind: _Kind, ids: frozenset[str]) -> None:
        """Have a kind's candidates without these alone."""
        candidates, left_out = self._made[kind][1], self._left_out.setdefault(kind, {})
        changed = sorted(ids.symmetric_difference(left_out))
        for id_ in changed:
            if id_ in left_out:
                candidate = left_out.pop(id_)
                candidates.add(candidate)
            elif id_ in candidates:
                candidate = left_out[id_] = candidates.evict_by_id(id_)
            else:
                continue
            self._capacity.changed += [at for at, _ in candidate.frees]
        self._capacity.budget.spent += len(ids) // 4 + CHANGE_STEPS * len(changed)

    def could_evict(self, preemptor: Workload) -> Callable[[str], bool]:
        """Whether it could evict the running workload of an id, were none relied on."""
        patient, below = self.is_patient(preemptor), self._values[preemptor.priority]

        def could_evict(id_: str) -> bool:
            candidate = self._left.get(id_)
            if candidate is None or candidate.value >= below:
                return False
            return patient or not candidate.is_exempt

        return could_evict

    def is_patient(self, preemptor: Workload) -> bool:
        """Whether none is exempt from it."""
        return not self._any_exempt or is_patient(preemptor, self._policy, self._now_ms)

    def among(self, ids: frozenset[str]) -> PreemptionSearch:
        """The search for victims among these workloads alone: every preemptor that uses it may
        evict any of them."""
        if ids not in self._among:
            self._capacity.budget.spent += len(self._capacity.ids) // 8 + 4 * len(ids)
            left = (self._left[id_] for id_ in sorted(ids) if id_ in self._left)
            candidates = Candidates(self._capacity, left)
            self._among[ids] = PreemptionSearch(self._capacity, candidates), candidates
        return self._among[ids][0]

    def evict(self, victim: Candidate) -> None:
        victim = self._left.pop(victim.id)
        for ids, (_, among) in self._among.items():
            if victim.id in ids:
                among.evict(victim)
        for kind, (_, candidates) in self._made.items():
            patient, below, _ = kind
            if victim.is_exempt and not patient:
                continue
            if self._left_out.get(kind, {}).pop(victim.id, None) is not None:
                continue
            if below is None:
                candidates.evict(victim)
            elif victim.value < below:
                candidates.evict(replace(victim, value=self._one_tier))
