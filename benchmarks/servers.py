"""Django in this process, on database servers of the benchmark's own: no web server, no worker."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_platform import embedded


@contextmanager
def platform(*, migrated: bool = True, durable: bool = True, **variables: str) -> Iterator[None]:
    """Settings, servers and a database, gone with the block; durable as those of `make run`."""
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        os.environ |= {
            "MLOPS_DATA_DIR": name,
            "DATABASE_URL": embedded.postgres_url(folder),
            "REDIS_URL": embedded.redis_url(folder),
            "DJANGO_SETTINGS_MODULE": "mlops_platform.settings",
            "LOG_LEVEL": "ERROR",
            **variables,
        }
        (folder / "static").mkdir()
        with embedded.services(folder, postgres=True, redis=True, durable=durable):
            import django
            from django.core.management import call_command
            from django.db import connections

            django.setup()
            if migrated:
                call_command("migrate", verbosity=0)
            try:
                yield
            finally:
                connections.close_all()
