"""`make bench`: speed and memory of the platform on this machine, beside references.

`make bench ARGS="latency memory --rounds 9"` measures those alone. Figures are for comparing one
commit with another on one machine; nothing passes or fails.
"""

import argparse
import time

import cycles
import latency
import memory
import planner
import report
import submits

BENCHMARKS = {
    "memory": memory.measure,
    "latency": latency.measure,
    "submits": submits.measure,
    "cycles": cycles.measure,
    "planner": planner.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("benchmarks", nargs="*", metavar="benchmark", help=", ".join(BENCHMARKS))
    parser.add_argument("--rounds", type=int, default=5, help="at least 5 for figures to keep")
    parser.add_argument("--dry", action="store_true", help="show the figures, write no files")
    options = parser.parse_args()
    unknown = set(options.benchmarks) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    began, results = time.monotonic(), []
    for name in options.benchmarks or BENCHMARKS:
        print(f"{name} ...", flush=True)
        results.append(BENCHMARKS[name](options.rounds))
        print(report.table(results[-1]), flush=True)
    if not options.dry:
        print(f"Written to {report.write(results, time.monotonic() - began)}.")


if __name__ == "__main__":
    main()
