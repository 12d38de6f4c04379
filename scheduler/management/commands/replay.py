"""`manage.py replay`: plan recorded cycles again; exit 1 if one of them gives another plan."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet

from mlops_platform.api.ids import parse_uuid
from scheduler.management.progress import Progress
from scheduler.models import SchedulingCycle
from scheduler.replay import Replayed, Verdict, cycles, replay_all


class Command(BaseCommand):
    help = "Plan recorded cycles again and compare the plans bit for bit."

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("cycle", nargs="?", metavar="ID", help="one cycle, as events and logs name it")
        add("--all", action="store_true", help="the whole ledger")
        add("--cluster", metavar="ID", help="with --all: of one cluster")
        add("--since", metavar="TIME", help="with --all: from 2026-11-22 or 2026-11-22T10:30 on")
        add(
            "--strict",
            action="store_true",
            help="a cycle of another version of the engine is a failure too, not skipped",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found, total = _selected(options), 1
        if options["all"]:
            total = found.count()
        elif not found.exists():
            raise CommandError(f"There is no cycle {options['cycle']} in the ledger.")
        counts = Counter[Verdict]()
        bad = {Verdict.DIFFERENT, Verdict.DAMAGED}
        if options["strict"]:
            bad.add(Verdict.OTHER_VERSION)
        with Progress(self.stderr, "replay", "cycles") as progress:
            for done, replayed in enumerate(replay_all(found), start=1):
                counts[replayed.verdict] += 1
                if replayed.verdict in bad or not options["all"]:
                    self.stdout.write(_report(replayed))
                progress.report(done, total)
        if options["all"]:
            self.stdout.write(_summary(counts))
        if failed := sum(counts[verdict] for verdict in bad):
            raise CommandError(f"{failed:,} of {sum(counts.values()):,} do not hold.")


def _selected(options: dict[str, Any]) -> QuerySet[SchedulingCycle]:
    if options["all"] == bool(options["cycle"]):
        raise CommandError("Give the id of one cycle, or --all.")
    if options["cycle"]:
        if options["cluster"] or options["since"]:
            raise CommandError("--cluster and --since go with --all.")
        return cycles().filter(pk=_id(options["cycle"], "cycle"))
    cluster = _id(options["cluster"], "cluster") if options["cluster"] else None
    return cycles(cluster=cluster, since=_time(options["since"]))


def _id(text: str, of: str) -> UUID:
    found = parse_uuid(text)
    if found is None:
        raise CommandError(f"{text!r} is not the id of a {of}.")
    return found


def _time(text: str | None) -> datetime | None:
    """Parse a time; one without a zone is UTC."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"{text!r} is no time such as 2026-11-22T10:30.") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _report(replayed: Replayed) -> str:
    lines = [f"{replayed.cycle_id}: {replayed.verdict.value}"]
    return "\n    ".join([*lines, *replayed.details])


def _summary(counts: Counter[Verdict]) -> str:
    verdicts = ", ".join(f"{counts[each]:,} {each.value}" for each in Verdict if counts[each])
    total = sum(counts.values())
    return f"{total:,} cycle{'' if total == 1 else 's'}" + (f": {verdicts}." if verdicts else ".")
