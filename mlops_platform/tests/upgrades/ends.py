"""Waiting for deployments to end as they should."""

import time

import psycopg2

WAIT_S = 120.0


def wait_for_the_end(database_url: str, deployments: set[str]) -> None:
    """Until each of them has ended as it should; one that is lost never does."""
    ended = dict.fromkeys(deployments, True)
    deadline = time.monotonic() + WAIT_S
    with psycopg2.connect(database_url) as database, database.cursor() as cursor:
        database.autocommit = True
        found: dict[str, bool] = {}
        while found != ended:
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
            cursor.execute("SELECT id::text, status FROM deployments_deployment")
            rows = {key: status in {"COMPLETED", "STOPPED"} for key, status in cursor}
            found = {key: value for key, value in rows.items() if key in deployments}
    database.close()
