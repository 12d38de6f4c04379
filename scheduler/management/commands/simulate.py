"""`manage.py simulate`: run a trace under one or more policies with the production planner."""

import argparse
import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduler.management.progress import Progress
from scheduler.simulator import (
    SpecError,
    TraceError,
    cluster_spec,
    pictures,
    policies,
    report,
    simulate,
)
from scheduler.simulator import traces as reading
from scheduler.simulator.csv_traces import HELP as COLUMNS_HELP
from scheduler.simulator.csv_traces import PHILLY
from scheduler.simulator.figures import Figures, figures
from scheduler.simulator.jobs import Job, Result, Trace

EXAMPLES = f"""\
example:
    manage.py simulate log.swf.gz --cluster pool:cpu=128 \\
        --policy strict,fifo --policy easy_backfill,fifo --out result

{COLUMNS_HELP}
    or Microsoft's Philly trace: {", ".join(PHILLY)}
    (6 cores and 60 GiB a GPU; more than 8 GPUs are spread over nodes)

clusters:
{cluster_spec.HELP}

policies:
{policies.HELP}

Nothing is read from or written to the database."""


class Command(BaseCommand):
    help = "Run a trace (SWF or CSV, plain or gzipped) on a simulated cluster, by each policy."
    requires_system_checks = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("trace", type=Path, metavar="TRACE", help="SWF or CSV, see below")
        add("--cluster", required=True, metavar="SPEC", help="what it runs on, see below")
        add(
            "--policy",
            action="append",
            metavar="POLICY",
            help="see below; once or several times (default: that of a new cluster)",
        )
        add("--out", type=Path, metavar="DIR", help="write JSON and pictures there")
        add("--no-pictures", action="store_true", help="JSON only")
        add("--limit", type=_positive, metavar="N", help="the first N jobs only")
        add(
            "--high-share",
            type=_share,
            metavar="SHARE",
            help="a random share of the jobs, from 0 to 1, becomes HIGH",
        )
        add("--seed", type=int, default=1, metavar="N", help="of that share (1)")
        add("--exact-limits", action="store_true", help="limits are the true run times")
        add(
            "--checkpoint-s",
            type=_positive,
            metavar="S",
            help="every job checkpoints that often (default: never, evicted work is lost)",
        )
        add(
            "--checked",
            action="store_true",
            help="judge every plan by the engine's checker, and explain every wait; slow",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        texts = dict.fromkeys(options["policy"] or ["best_effort"])
        try:
            cluster = cluster_spec.parse(options["cluster"])
            chosen = [policies.parse(text) for text in texts]
            if options["out"] and not options["no_pictures"]:
                pictures.require_matplotlib()
            trace = _trace(options)
            reading.check_priorities(trace.jobs, {each.name for each in cluster.classes})
        except (SpecError, TraceError, pictures.NoPicturesError) as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The trace cannot be read: {error}.") from error
        self.stdout.write(_summary(trace))
        results, every = [], []
        for policy in chosen:
            with Progress(self.stderr, policies.name_of(policy), "jobs") as progress:
                result = simulate(
                    trace.jobs,
                    cluster,
                    policy,
                    checkpoint_s=options["checkpoint_s"],
                    checked=options["checked"],
                    progress=progress.report,
                )
            results.append(result)
            every.append(figures(result))
        speeds = [len(trace.jobs) / result.took_s for result in results]
        self.stdout.write(f"\n{report.table(every, speeds)}\n")
        if options["out"]:
            for path in _write(options, trace, results, every):
                self.stdout.write(f"wrote {path}")


def _trace(options: dict[str, Any]) -> Trace:
    trace = reading.read(options["trace"], options["limit"])
    jobs: list[Job] = trace.jobs
    if options["high_share"] is not None:
        jobs = reading.with_share(jobs, "HIGH", options["high_share"], options["seed"])
    if options["exact_limits"]:
        jobs = reading.with_exact_limits(jobs)
    return Trace(jobs, trace.dropped)


def _summary(trace: Trace) -> str:
    dropped = "".join(f", {count:,} dropped: {why}" for why, count in trace.dropped.items())
    return f"{len(trace.jobs):,} jobs{dropped}."


def _write(
    options: dict[str, Any], trace: Trace, results: list[Result], every: list[Figures]
) -> list[Path]:
    """Write the results and pictures. speed.json is apart, as only it differs between runs."""
    out: Path = options["out"]
    out.mkdir(parents=True, exist_ok=True)
    request = {
        "trace": options["trace"].name,
        "cluster": options["cluster"],
        **{
            name: options[name]
            for name in ("limit", "high_share", "seed", "exact_limits", "checkpoint_s")
        },
    }
    (out / "result.json").write_text(report.as_json(request, trace, every))
    speed = {
        each.policy: {
            "took_s": round(result.took_s, 3),
            "jobs_per_s": round(len(result.jobs) / result.took_s, 1),
        }
        for each, result in zip(every, results, strict=True)
    }
    (out / "speed.json").write_text(json.dumps(speed, indent=1) + "\n")
    written = [out / "result.json", out / "speed.json"]
    if not options["no_pictures"]:
        written += pictures.draw(results, every, out)
    return written


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number above zero")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} should be a number from 0 to 1")
    return share
