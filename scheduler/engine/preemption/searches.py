"""Which of a cycle's running workloads each preemptor may evict."""

from collections.abc import Mapping

from scheduler.engine.capacity import Capacity
from scheduler.engine.preemption.candidates import Candidates, candidates_of
from scheduler.engine.preemption.exemption import is_patient
from scheduler.engine.preemption.search import PreemptionSearch
from scheduler.engine.preemption.victims import Candidate
from scheduler.engine.snapshot import PriorityClass, Snapshot, Workload


class Searches:
    """The searches of patient and of impatient preemptors: from the latter, young workloads are
    exempt. Each is made when it is first asked for, and both see every eviction.

    Of equal waiting workloads the first in the scheduling order is asked for, and answers for all.
    """

    def __init__(
        self, snapshot: Snapshot, capacity: Capacity, classes: Mapping[str, PriorityClass]
    ) -> None:
        self._policy, self._now_ms = snapshot.policy, snapshot.now_ms
        self._capacity = capacity
        self._left = {each.id: each for each in candidates_of(snapshot, capacity, classes)}
        self._any_exempt = any(each.is_exempt for each in self._left.values())
        self._made: dict[bool, tuple[PreemptionSearch, Candidates]] = {}  # by patience

    def of(self, preemptor: Workload) -> tuple[PreemptionSearch, Candidates]:
        """The search, and the candidates that it searches."""
        patient = not self._any_exempt or is_patient(preemptor, self._policy, self._now_ms)
        if patient not in self._made:
            allowed = (each for each in self._left.values() if patient or not each.is_exempt)
            candidates = Candidates(self._capacity, allowed)
            self._made[patient] = PreemptionSearch(self._capacity, candidates), candidates
        return self._made[patient]

    def evict(self, victim: Candidate) -> None:
        del self._left[victim.id]
        for patient, (_, candidates) in self._made.items():
            if patient or not victim.is_exempt:
                candidates.evict(victim)
