"""`manage.py restore FILE`: the database as it was when the file was made."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlops_platform.backup.file import BadBackup, Reader, seekable
from mlops_platform.backup.restore import Refused, drop_kept, restore, undo


class Command(BaseCommand):
    help = "Restores what `backup` has written. Stop the platform's processes first."
    requires_system_checks = []  # some ask the database, which may be empty

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", help="what backup wrote, or - for standard input")
        parser.add_argument(
            "--replace", action="store_true", help="take the place of what the database has by now"
        )
        parser.add_argument(
            "--other-keys",
            action="store_true",
            help="restore though CREDENTIALS_KEYS cannot open what the file has sealed",
        )
        parser.add_argument(
            "--drop-old",
            action="store_true",
            help="keep no old database, also where the audit complains; without a file, drop the "
            "one that an earlier restore has kept",
        )
        parser.add_argument(
            "--undo",
            action="store_true",
            help="without a file: put the old database, which an earlier restore has kept, back "
            "into its place; the restored one is kept in its stead",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        path, undoes, drops_old = (options[name] for name in ("file", "undo", "drop_old"))
        if (undoes and (path or drops_old)) or not (path or undoes or drops_old):
            raise CommandError("Give a file, or --undo alone, or --drop-old alone.")
        try:
            if path:
                self._restore(options)
            elif undoes:
                undo(self.stderr.write)
            else:
                drop_kept()
                self.stderr.write("Dropped.")
                return
        except (BadBackup, Refused) as error:
            raise CommandError(f"{error} Nothing has changed.") from error
        self.stderr.write(
            f"{'Undone' if undoes else 'Restored'}. Start the processes: they take stock of what "
            "really runs, and build the queues anew. Clients that follow changes have to begin "
            "anew."
        )

    def _restore(self, options: dict[str, Any]) -> None:
        with ExitStack() as stack:
            try:
                opened = (
                    sys.stdin.buffer
                    if options["file"] == "-"
                    else stack.enter_context(Path(options["file"]).open("rb"))
                )
            except OSError as error:
                raise CommandError(f"{options['file']}: {error.strerror}.") from error
            restore(
                Reader(stack.enter_context(seekable(opened))),
                self.stderr.write,
                replace=options["replace"],
                other_keys=options["other_keys"],
                drop_old=options["drop_old"],
            )
