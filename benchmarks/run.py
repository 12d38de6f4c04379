"""`make bench`: speed and memory of the platform on this machine, beside references.

`make bench ARGS="latency memory --rounds 9"` measures those alone. Figures are for comparing one
commit with another on one machine; nothing passes or fails. `sdsc`, `philly` and `forecasts`
simulate traces that are not part of the repository: they are skipped unless `--traces DIR` names
their folder.
`docker` starts an engine of its own, which needs root and dockerd; without these it is skipped.
`commits` compares this commit with an earlier one on such an engine: `--before DIR` names a
checkout of that (`git worktree add DIR COMMIT`), which the same Python runs.
"""

import argparse
import time
from pathlib import Path

from benchmarks import report
from benchmarks.in_process import events, growth, home, planner, usage
from benchmarks.on_docker import commits, docker
from benchmarks.over_http import commands, cycles, ends, latency, locks, memory, submits
from benchmarks.traces import forecasts, philly, sdsc

BENCHMARKS = {
    "memory": memory.measure,
    "latency": latency.measure,
    "commands": commands.measure,
    "submits": submits.measure,
    "cycles": cycles.measure,
    "ends": ends.measure,
    "locks": locks.measure,
    "events": events.measure,
    "planner": planner.measure,
    "growth": growth.measure,
    "home": home.measure,
    "usage": usage.measure,
    "docker": docker.measure,
}
OF_TRACES = {"sdsc": sdsc, "philly": philly, "forecasts": forecasts}
COMMITS = "commits"


def main() -> None:
    every = [*BENCHMARKS, *OF_TRACES, COMMITS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help=", ".join(every))
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for figures to keep")
    parser.add_argument(
        "--traces", type=Path, metavar="DIR", help="where the benchmarks of traces find theirs"
    )
    parser.add_argument("--before", type=Path, metavar="DIR", help="commits: the earlier checkout")
    parser.add_argument("--dry", action="store_true", help="show the figures, write no files")
    options = parser.parse_args()
    unknown = set(options.benchmarks) - set(every)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    began, results = time.monotonic(), []
    for name in options.benchmarks or every:
        print(f"{name} ...", flush=True)
        result = _measure(name, options)
        if result is not None:
            results.append(result)
            print(report.table(result), flush=True)
    if not options.dry:
        print(f"Written to {report.write(results, time.monotonic() - began)}.")


def _measure(name: str, options: argparse.Namespace) -> report.Result | None:
    rounds, traces = options.rounds, options.traces
    if name == COMMITS:
        if options.before is None:
            print("commits is skipped: it needs --before DIR.\n")
            return None
        return commits.measure(rounds, options.before.resolve())
    if name in BENCHMARKS:
        return BENCHMARKS[name](rounds)
    benchmark = OF_TRACES[name]
    result = benchmark.measure(rounds, traces) if traces is not None else None
    if result is None:
        where = f"there is no {traces / benchmark.FILE}" if traces else "it needs --traces DIR"
        print(f"{name} is skipped: {where}.\n")
    return result


if __name__ == "__main__":
    main()
