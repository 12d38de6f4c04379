"""Every connection to PostgreSQL that a process of the platform opens has deadlines."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from mlops_platform.environment.database import COMMAND, SERVING, WORKER

# What sys.argv[0] is in each process.
PROGRAMS = {
    "/srv/bin/gunicorn": SERVING,
    "/srv/bin/celery": WORKER,
    "/srv/lib/celery/__main__.py": WORKER,
    "/srv/scheduler/timer/__main__.py": WORKER,
    "manage.py": COMMAND,
    "/srv/a-script-of-an-operator.py": SERVING,
}
SHOW = """
import sys
sys.argv[0] = {program!r}
import django
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    for name in {names!r}:
        cursor.execute("SELECT setting::int FROM pg_settings WHERE name = %s", [name])
        print(cursor.fetchone()[0])
"""
# The one connects to the embedded server before there is a database, for a statement that takes
# milliseconds; the other with the parameters of Django's connection.
WITHOUT_DJANGO = {"mlops_platform/embedded/postgres.py", "mlops_platform/backup/sessions.py"}
PACKAGES = ("accounts", "clusters", "deployments", "mlops_platform", "organizations", "scheduler")


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_connections_of_each_program_have_its_deadlines(
    program: str, worker_environment: dict[str, str]
) -> None:
    expected = PROGRAMS[program]
    code = SHOW.format(program=program, names=list(expected))
    environment = {**worker_environment, "DJANGO_SETTINGS_MODULE": "mlops_platform.settings"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert [int(line) for line in done.stdout.split()] == [s * 1000 for s in expected.values()]


@pytest.mark.parametrize("limits", [SERVING, WORKER, COMMAND], ids=["serving", "worker", "command"])
def test_nothing_waits_for_a_lock_or_idles_in_a_transaction_without_an_end(
    limits: dict[str, float],
) -> None:
    assert limits["lock_timeout"] > 0
    assert limits["idle_in_transaction_session_timeout"] > 0


def test_all_connections_but_two_are_djangos() -> None:
    found = {
        str(path.relative_to(settings.BASE_DIR))
        for package in PACKAGES
        for path in Path(settings.BASE_DIR, package).rglob("*.py")
        if "tests" not in path.parts
        and re.search(r"psycopg2?\.connect\(|connect\(\*\*", path.read_text())
    }
    assert found == WITHOUT_DJANGO
