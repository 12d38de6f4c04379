"""`manage.py backup FILE`: a copy of the database while the platform runs."""

import sys
from pathlib import Path
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mlops_platform.backup.dump import dump
from mlops_platform.backup.file import new_file


class Command(BaseCommand):
    help = "Writes all rows, as of one moment, into a file. The platform may run meanwhile."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", help="a new file, or - for standard output")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["file"] == "-":
            self._write(sys.stdout.buffer)
            return
        path = Path(options["file"])
        try:
            with new_file(path) as file:
                self._write(file)
        except FileExistsError as error:
            raise CommandError(f"{path} is there already; a backup overwrites nothing.") from error
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}.") from error

    def _write(self, file: BinaryIO) -> None:
        rows = dump(file, self.stderr.write)
        file.flush()
        self.stderr.write(
            f"{rows:,} rows. SECRET_KEY and CREDENTIALS_KEYS are not among them: keep these "
            "elsewhere, nothing opens the credentials in this file without them."
        )
