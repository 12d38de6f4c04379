"""A PostgreSQL of a test module's alone, whose clock the tests step."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from django.core.management import call_command
from django.db import connection

from mlops_platform import embedded
from mlops_platform.embedded import postgres, process
from mlops_platform.tests.equipment.clocks import set_clock, with_clock_in


class OwnPostgres:
    """A server with the platform's tables. Its clock is that of this host, and as much ahead of it
    as the test has stepped."""

    def __init__(self, url: str, clock: Path) -> None:
        self.url = url
        self._clock = clock
        self._ahead = timedelta()

    def step(self, by: timedelta) -> None:
        """Put the clock ahead, or back, at once, under all that runs."""
        self.set_ahead(self._ahead + by)

    def set_ahead(self, ahead: timedelta) -> None:
        self._ahead = ahead
        set_clock(self._clock, ahead)

    @contextmanager
    def as_the_tests_database(self) -> Iterator[None]:
        """The test, and each process that it starts by `environment_of_tests`, use this server,
        empty and with the host's time, instead of the session's."""
        self.set_ahead(timedelta())
        with self._connected():
            call_command("flush", interactive=False, verbosity=0)
            yield

    def migrate(self) -> None:
        with self._connected():
            call_command("migrate", verbosity=0)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        found = urlsplit(self.url)
        place = {"HOST": unquote(str(found.hostname)), "NAME": found.path.strip("/")}
        connection.close()
        try:
            with (
                patch.dict(connection.settings_dict, place),
                patch.dict(os.environ, DATABASE_URL=self.url),
            ):
                yield
        finally:
            connection.close()


@contextmanager
def postgres_with_a_clock(folder: Path) -> Iterator[OwnPostgres]:
    """Start it in the folder, and stop it at the end."""
    clock = folder / "clock"
    own = OwnPostgres(embedded.postgres_url(folder), clock)
    folder.mkdir(parents=True, exist_ok=True)
    environment = [f"{name}={value}" for name, value in with_clock_in(clock).items()]

    def spawn(
        command: Sequence[str], log: Path, popen: Mapping[str, Any] | None = None
    ) -> "subprocess.Popen[bytes]":
        # Behind what changes the account: libfaketime's semaphore belongs to the account that
        # has loaded it first.
        program = next(n for n, word in enumerate(command) if word.endswith("/bin/postgres"))
        changed = [*command[:program], "/usr/bin/env", *environment, *command[program:]]
        return process.spawn(changed, log, popen)

    with (
        patch.object(postgres, "spawn", spawn),
        embedded.services(folder, postgres=True, redis=False, durable=False),
    ):
        own.migrate()
        yield own
