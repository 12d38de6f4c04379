"""The forecast of one deployment, for an explanation or a quote."""

import time
from typing import Any

from deployments.models import Deployment
from scheduler.engine.placement.capacity import Capacity
from scheduler.engine.snapshot import Workload
from scheduler.engine.wait_reasons import impossible
from scheduler.forecast import Basis, Budget, Eta, Forecast, forecast
from scheduler.start_times import inputs, kept
from scheduler.start_times.shown import shown
from scheduler.store.part_reader import PartReader

CPU_S = 0.15


def eta_of(
    deployment: Deployment, workload: Workload, reader: PartReader, now_ms: int
) -> dict[str, Any]:
    """The values of EtaSerializer, made now if that costs little, else as kept from the last turn.
    Four queries, in the reader's transaction."""
    is_new = deployment._state.adding
    read = inputs.read(reader, (deployment, workload) if is_new else None)
    if read is not None and impossible(Capacity(read.snapshot), workload) is not None:
        return shown(Eta(Basis.IMPOSSIBLE), now_ms)
    made = Forecast(now_ms, 0)
    if read is not None and any(each.id == workload.id for each in read.snapshot.queued):
        made = forecast(
            read.snapshot,
            [workload.id],
            read.expected,
            read.history,
            correction=read.correction,
            budget=Budget(CPU_S, time.thread_time),
        )
    eta = made.etas.get(workload.id, Eta(Basis.TOO_LARGE))
    before = kept.etas_of([deployment]) if eta.basis == Basis.TOO_LARGE and not is_new else {}
    return before.get(deployment.pk) or shown(eta, now_ms)
