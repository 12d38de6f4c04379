"""Traces as CSV: with this platform's own columns, or with those of Microsoft's Philly trace.

Philly (Jeon et al., USENIX ATC 2019) has GPUs only. Here each GPU comes with 6 cores and 60 GiB, as
on nodes of 8 GPUs, 48 cores and 480 GiB, and a job with more than 8 GPUs is a gang on several
nodes.
"""

import csv
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from scheduler.engine.resources import Resources
from scheduler.simulator.jobs import Job, Trace, TraceError

COLUMNS = ("submit_s", "run_s", "replicas", "cpu", "ram", "gpu", "priority", "limit_s", "user")
REQUIRED = ("submit_s", "run_s")
PHILLY = ("timestamp", "duration", "num_gpus", "gpu_time", "cluster")
HELP = """\
columns of a CSV, in any order, the first line naming them:
    submit_s   seconds since the trace began         (required)
    run_s      seconds that it runs if left alone    (required)
    replicas   how many at once, all or none         (1)
    cpu        cores of each replica                 (0)
    ram        MiB of each replica                   (0)
    gpu        whole GPUs of each replica            (0)
    priority   name of a priority class              (LOW)
    limit_s    seconds after which it is ended       (none)
    user       who submitted it, for fair_share      (all the same)"""

GPUS_ON_A_NODE = 8
WITH_A_GPU = Resources(cpu_milli=6000, ram_mib=60 * 1024, gpu=1)


def read(path: Path, lines: Iterable[tuple[int, str]]) -> Trace:
    """Parse numbered lines, from 1; the first line that is not empty names the columns."""
    jobs: list[Job] = []
    dropped = Counter[str]()
    names: list[str] = []
    for number, line in lines:
        if not line.strip():
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if not names:
            names = _known(path, number, cells)
            continue
        if len(cells) != len(names):
            raise TraceError(path, number, f"{len(cells)} cells below {len(names)} columns")
        row = dict(zip(names, cells, strict=True))
        try:
            job = _philly(row) if "timestamp" in row else _own(row)
        except (ValueError, OverflowError) as error:
            raise TraceError(path, number, str(error)) from error
        if job.run_ms <= 0:
            dropped["did not run"] += 1
        else:
            jobs.append(job)
    jobs.sort(key=lambda job: job.submit_ms)
    return Trace(jobs, dict(dropped))


def _known(path: Path, number: int, names: list[str]) -> list[str]:
    if set(PHILLY) <= set(names):
        return names
    if unknown := [name for name in names if name not in COLUMNS]:
        raise TraceError(
            path, number, f"no column is named {unknown[0]!r}; there are {', '.join(COLUMNS)}"
        )
    if missing := [name for name in REQUIRED if name not in names]:
        raise TraceError(path, number, f"the column {missing[0]} is missing")
    if len(set(names)) != len(names):
        raise TraceError(path, number, "a column is there twice")
    return names


def _own(row: dict[str, str]) -> Job:
    limit_s = _milli(row, "limit_s") if row.get("limit_s") else None
    limit_s = None if limit_s is None else -(-limit_s // 1000)
    request = Resources(_milli(row, "cpu"), _whole(row, "ram"), _whole(row, "gpu"))
    if max(request) == 0:
        raise ValueError("it asks for nothing: cpu, ram and gpu are 0")
    if limit_s == 0:
        raise ValueError("limit_s is 0; leave it empty where there is no limit")
    run_ms = _milli(row, "run_s")
    return Job(
        submit_ms=_milli(row, "submit_s"),
        run_ms=run_ms if limit_s is None else min(run_ms, limit_s * 1000),
        request=request,
        replicas=_whole(row, "replicas", least=1),
        priority=row.get("priority") or "LOW",
        limit_s=limit_s,
        user=row.get("user", ""),
    )


def _philly(row: dict[str, str]) -> Job:
    at = datetime.fromisoformat(row["timestamp"]) - datetime(2017, 1, 1)  # noqa: DTZ001  # the trace has no zone
    gpus, replicas = _whole(row, "num_gpus", least=1), 1
    while gpus % replicas or gpus // replicas > GPUS_ON_A_NODE:
        replicas += 1
    return Job(
        submit_ms=round(at.total_seconds() * 1000),
        run_ms=_milli(row, "duration"),
        request=WITH_A_GPU.times(gpus // replicas),
        replicas=replicas,
        user=row["cluster"],  # the team
    )


def _milli(row: dict[str, str], name: str) -> int:
    """A decimal number of zero or more in thousandths; 0 for an empty cell."""
    text = row.get(name) or "0"
    try:
        value = round(float(text) * 1000)
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise ValueError(f"{name} is {text!r}, and should be a number of zero or more")
    return value


def _whole(row: dict[str, str], name: str, least: int = 0) -> int:
    text = row.get(name) or str(least)
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name} is {text!r}, and should be a whole number of {least} or more")
    return int(text)
