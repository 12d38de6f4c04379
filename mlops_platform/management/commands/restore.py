"""`manage.py restore FILE`: the database as it was when the file was made."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlops_platform.backup.file import BadBackup, Reader, seekable
from mlops_platform.backup.restore import Refused, restore


class Command(BaseCommand):
    help = "Restores what `backup` has written. Stop the platform's processes first."
    requires_system_checks = []  # some ask the database, which may be empty

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="what backup wrote, or - for standard input")
        parser.add_argument(
            "--replace", action="store_true", help="lose what the database has by now"
        )
        parser.add_argument(
            "--other-keys",
            action="store_true",
            help="restore though CREDENTIALS_KEYS cannot open what the file has sealed",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        with ExitStack() as stack:
            try:
                opened = (
                    sys.stdin.buffer
                    if options["file"] == "-"
                    else stack.enter_context(Path(options["file"]).open("rb"))
                )
            except OSError as error:
                raise CommandError(f"{options['file']}: {error.strerror}.") from error
            file = stack.enter_context(seekable(opened))
            try:
                restore(
                    Reader(file),
                    self.stderr.write,
                    replace=options["replace"],
                    other_keys=options["other_keys"],
                )
            except (BadBackup, Refused) as error:
                raise CommandError(f"{error} Nothing has changed.") from error
        self.stderr.write(
            "Restored. Start the processes: they take stock of what really runs, and build the "
            "queues anew. Clients that follow changes have to begin anew."
        )
