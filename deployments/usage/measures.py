"""What is measured of intervals within a window: the columns of every sum, in SQL.

Each part of a window is summed in whole milliseconds, so the sums of parts add up to that of the
whole: whatever is put together from sums of days and from intervals is exact.
"""

from deployments.usage.models import DAY_MS, Outcome

RESOURCES = ("cpu_milli", "ram_mib", "gpu")
LOSSES = (Outcome.EVICTED, Outcome.FAILED, Outcome.LOST)
AMOUNTS = tuple(f"{name}_ms" for name in RESOURCES)
LOST_AMOUNTS = tuple(f"{outcome}_{name}" for outcome in LOSSES for name in AMOUNTS)
COUNTS = ("started", *Outcome.values)
MEASURES = (*AMOUNTS, *LOST_AMOUNTS, "waiting_ms", *COUNTS)

# Of intervals `i` within windows `w` (begin_ms, end_ms): how much of each lies within. What is open
# lasts until %(now_ms)s.
PARTS = """
 CROSS JOIN LATERAL (
       SELECT greatest(0, least(coalesce(i.end_ms, %(now_ms)s), w.end_ms)
                          - greatest(i.begin_ms, w.begin_ms)) AS used,
              coalesce(greatest(0, least(i.end_ms, w.end_ms) - greatest(i.lost_ms, w.begin_ms))
                       * (i.lost_ms IS NOT NULL)::int, 0) AS lost,
              coalesce(greatest(0, least(i.begin_ms, w.end_ms) - greatest(i.queued_ms, w.begin_ms))
                       * (i.queued_ms IS NOT NULL)::int, 0) AS waited,
              (i.queued_ms IS NOT NULL AND i.replicas > 0
               AND i.begin_ms >= w.begin_ms AND i.begin_ms < w.end_ms)::int AS began,
              (i.queued_ms IS NOT NULL
               AND i.end_ms >= w.begin_ms AND i.end_ms < w.end_ms)::int AS ended) part
"""


def _of_interval() -> dict[str, str]:
    columns = {f"{name}_ms": f"i.{name} * part.used" for name in RESOURCES}
    for outcome in LOSSES:
        for name in RESOURCES:
            lost = f"CASE i.outcome WHEN '{outcome}' THEN i.{name} * part.lost ELSE 0 END"
            columns[f"{outcome}_{name}_ms"] = lost
    columns |= {"waiting_ms": "part.waited", "started": "part.began"}
    for value in Outcome.values:
        columns[value] = f"CASE i.outcome WHEN '{value}' THEN part.ended ELSE 0 END"
    return columns


OF_INTERVAL = _of_interval()
"""Each measure of an interval's part."""


def days(first_ms: str, last_ms: str) -> str:
    """A window for each day from that of `first_ms` to that of `last_ms`."""
    return f"""
 CROSS JOIN LATERAL (
       SELECT number * {DAY_MS} AS begin_ms, (number + 1) * {DAY_MS} AS end_ms
         FROM generate_series({first_ms} / {DAY_MS}, {last_ms} / {DAY_MS}) number) day
"""  # noqa: S608 - of names of columns
