"""Standard Workload Format (Feitelson; Chapin et al., JSSPP 1999): 18 fields a row.

The fields read here: 2 submit time, 4 run time, 5 allocated processors, 8 requested processors, 9
requested time, 12 user; -1 means unknown. A processor is a core, so a job has one replica of one
core per processor. As in the studies that use these logs, rows without a run or a requested time
are dropped, the requested processors count (else the allocated ones), and no job runs longer than
its requested time.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from scheduler.engine.resources import Resources
from scheduler.simulator.jobs import Job, Trace, TraceError

FIELDS = 18
CORE = Resources(cpu_milli=1000)


def read(path: Path, lines: Iterable[tuple[int, str]]) -> Trace:
    """Parse numbered lines, from 1."""
    jobs, dropped = [], Counter[str]()
    for number, line in lines:
        text = line.partition(";")[0].split()
        if not text:
            continue
        if len(text) != FIELDS:
            raise TraceError(path, number, f"{len(text)} fields, where SWF has {FIELDS}")
        try:
            submit_s, run_s, allocated, requested, limit_s, user = (
                int(float(text[at - 1])) for at in (2, 4, 5, 8, 9, 12)
            )
        except (ValueError, OverflowError) as error:
            raise TraceError(path, number, f"a field is no number ({error})") from error
        processors = requested if requested > 0 else allocated
        if run_s <= 0:
            dropped["did not run"] += 1
        elif limit_s <= 0:
            dropped["promised no end"] += 1
        elif processors <= 0:
            dropped["asked for no processors"] += 1
        else:
            run_ms = min(run_s, limit_s) * 1000
            name = str(user) if user >= 0 else ""
            jobs.append(Job(submit_s * 1000, run_ms, CORE, processors, limit_s=limit_s, user=name))
    jobs.sort(key=lambda job: job.submit_ms)
    return Trace(jobs, dict(dropped))
