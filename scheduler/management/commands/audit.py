"""`manage.py audit`: check the invariants; exit 1 and list those that are broken."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from scheduler import audits


class Command(BaseCommand):
    help = "Check that nothing is over-committed, miscounted or half done."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queues",
            action="store_true",
            help="Also compare the Redis queues with the table; meaningful while nothing moves.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = audits.look(queues_too=options["queues"])
        for sentence in found:
            self.stderr.write(sentence)
        if found:
            raise CommandError(f"{len(found)} invariants are broken.")
        self.stdout.write("All invariants hold.")
