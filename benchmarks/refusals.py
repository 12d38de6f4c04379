"""The CPU that a refused request costs, over all calls of the API and a table of hostile requests.

`make refusals` prints the ten worst, `make refusals ARGS=bulk` those of the calls with that word in
their name. It starts a PostgreSQL and a Redis of its own, and calls the platform in this process.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
MOST_S = 0.3
WORST = 10


@contextmanager
def platform() -> Iterator[None]:
    """Settings, servers and tables of its own, gone with the block."""
    sys.path.insert(0, str(REPOSITORY))
    from mlops_platform import embedded

    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as name:
        folder = Path(name)
        os.environ |= {
            "MLOPS_DATA_DIR": name,
            "DATABASE_URL": embedded.postgres_url(folder),
            "REDIS_URL": embedded.redis_url(folder),
            "DJANGO_SETTINGS_MODULE": "mlops_platform.settings",
            "ALLOWED_HOSTS": "testserver",
        }
        (folder / "static").mkdir()
        with embedded.services(folder, postgres=True, redis=True, durable=False):
            import django
            from django.core.management import call_command
            from django.db import connections

            django.setup()
            call_command("migrate", verbosity=0)
            try:
                yield
            finally:
                connections.close_all()


def measure(wanted: str = "") -> list[tuple[float, int, int, str]]:
    """(CPU seconds, status, bytes of the answer, request) of each refused request, worst first."""
    from rest_framework.throttling import SimpleRateThrottle

    from mlops_platform.tests.equipment.routes import api_routes
    from mlops_platform.tests.equipment.world import make_world, undone
    from mlops_platform.tests.input.hostile import hostile_requests
    from mlops_platform.tests.input.matrix import ROW_OF

    SimpleRateThrottle.THROTTLE_RATES = dict.fromkeys(SimpleRateThrottle.THROTTLE_RATES)
    world = make_world()
    client: Any = world.client("admin")
    measured = []
    for route in api_routes():
        if wanted not in str(route):
            continue
        row = ROW_OF[str(route)]
        path, sound = route.path.format(**world.ids), row.filled_body(world.ids)
        for each in hostile_requests(route, sound or {}):
            content_type = each.headers.get("Content-Type", "application/json")
            headers = {k: v for k, v in each.headers.items() if k != "Content-Type"}
            with undone():
                began = time.process_time()
                answer = client.generic(
                    route.method,
                    f"{path}?{each.query}" if each.query else path,
                    each.body,
                    content_type=content_type,
                    headers=headers,
                )
                content = answer.getvalue()
                took = time.process_time() - began
            if answer.status_code >= 400:
                said = f"{route}, {each.what}"
                measured.append((took, answer.status_code, len(content), said))
    return sorted(measured, reverse=True)


def main() -> None:
    import logging

    logging.disable(logging.CRITICAL)
    with platform():
        measured = measure(sys.argv[1] if len(sys.argv) > 1 else "")
    print(f"{len(measured)} refused requests; the worst of them:")
    print("CPU, s  status  answer, bytes  request")
    for took, status, size, said in measured[:WORST]:
        print(f"{took:6.2f}  {status:6}  {size:13,}  {said}")
    largest = max(measured, key=lambda each: each[2])
    print(f"The largest answer: {largest[2]:,} bytes to {largest[3]}.")
    slow = sum(each[0] > MOST_S for each in measured)
    print(f"{slow} took more than {MOST_S} s.")


if __name__ == "__main__":
    main()
