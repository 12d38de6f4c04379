"""Figures as a table for a terminal, and as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from scheduler.simulator.figures import Figures
from scheduler.simulator.jobs import Trace

COLUMNS = (
    "policy",
    "class",
    "jobs",
    "wait mean",
    "median",
    "p95",
    "p99",
    "max",
    "slowdown",
    "evicted",
    "GPU h lost",
    "core h lost",
)
OF_ALL = ("policy", "CPU", "RAM", "GPU", "goodput", "makespan", "passes", "jobs/s")


def as_json(request: dict[str, Any], trace: Trace, every: Sequence[Figures]) -> str:
    """`request` has the options of the simulation. The same request gives the same text."""
    result = {
        **request,
        "jobs": len(trace.jobs),
        "dropped": trace.dropped,
        "policies": [each.as_json() for each in every],
    }
    return json.dumps(result, indent=1, ensure_ascii=False) + "\n"


def table(every: Sequence[Figures], speeds: Sequence[float]) -> str:
    """One table by class and one by policy. Slowdown is the mean bounded slowdown."""
    rows = []
    for each in every:
        for name, of in each.classes.items():
            if name == "all" and len(each.classes) == 2:
                continue
            waits = (of.wait_mean_s, of.wait_median_s, of.wait_p95_s, of.wait_p99_s, of.wait_max_s)
            rows.append(
                (
                    each.policy,
                    name,
                    f"{of.ended:,}" + (f" of {of.jobs:,}" if of.ended < of.jobs else ""),
                    *(duration(wait) for wait in waits),
                    f"{of.bounded_slowdown:,.3f}",
                    f"{of.preemptions:,}",
                    f"{of.lost_gpu_hours:,.0f}",
                    f"{of.lost_core_hours:,.0f}",
                )
            )
    totals = [
        (
            each.policy,
            *(_percent(each.utilisation.get(name)) for name in ("cpu_milli", "ram_mib", "gpu")),
            _percent(max(each.goodput.values(), default=None)),
            duration(each.makespan_s),
            f"{each.passes:,}",
            f"{speed:,.0f}",
        )
        for each, speed in zip(every, speeds, strict=True)
    ]
    return f"{columns(COLUMNS, rows)}\n\n{columns(OF_ALL, totals)}"


def columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with text aligned left and numbers aligned right."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    left = {at for at, name in enumerate(head) if name in ("policy", "class")}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    )


def duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:,.0f} s"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
