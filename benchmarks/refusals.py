"""The CPU that a refused request costs, over all calls of the API and a table of hostile requests.

`make refusals` prints the ten worst, `make refusals ARGS=bulk` those of the calls with that word in
their name. It starts a PostgreSQL and a Redis of its own, and calls the platform in this process.
"""

import sys
import time
from typing import Any

from benchmarks.servers import platform

MOST_S = 0.3
WORST = 10


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
    with platform(durable=False, ALLOWED_HOSTS="testserver"):
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
