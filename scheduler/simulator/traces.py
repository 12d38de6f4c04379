"""Reading traces in any format, and the changes that apply to all of them."""

import gzip
import random
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from scheduler.simulator import csv_traces, swf
from scheduler.simulator.jobs import Job, SpecError, Trace, TraceError


def read(path: Path, limit: int | None = None) -> Trace:
    """The first `limit` jobs of a trace: SWF or CSV, plain or gzipped, detected by the contents.

    Raises TraceError, which names the file and the line; OSError if the file cannot be opened.
    """
    lines = _lines(path)
    first = next((each for each in lines if each[1].strip()), None)
    if first is None:
        raise TraceError(path, 1, "there is nothing in it")
    reader = csv_traces if "," in first[1] and not first[1].startswith(";") else swf
    trace = reader.read(path, chain([first], lines))
    if not trace.jobs:
        raise TraceError(path, first[0], "no job in it ran")
    return Trace(trace.jobs[:limit], trace.dropped)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as probe:
        zipped = probe.read(2) == b"\x1f\x8b"
    number = 0
    try:
        with gzip.open(path, "rt") if zipped else path.open() as text:
            for number, line in enumerate(text, start=1):
                yield number, line
    except (UnicodeDecodeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise TraceError(path, number + 1, f"it cannot be read ({error})") from error


def with_share(jobs: list[Job], priority: str, share: float, seed: int) -> list[Job]:
    """The jobs, a random share of them (drawn with `seed`) in the given priority class."""
    draw = random.Random(seed)
    return [replace(job, priority=priority) if draw.random() < share else job for job in jobs]


def with_exact_limits(jobs: list[Job]) -> list[Job]:
    """The jobs with their run times as time limits, in whole seconds, rounded up."""
    return [replace(job, limit_s=-(-job.run_ms // 1000)) for job in jobs]


def check_priorities(jobs: list[Job], known: set[str]) -> None:
    """Raise SpecError if a job's priority is not among the cluster's classes."""
    if unknown := sorted({job.priority for job in jobs} - known):
        raise SpecError(
            f"The trace has the priority {unknown[0]!r}; the cluster has {', '.join(known)}."
        )
