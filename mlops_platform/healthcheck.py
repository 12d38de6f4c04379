"""Asks this machine's web server whether it is healthy: `python -I mlops_platform/healthcheck.py`.

Run as a file it imports nothing of the project: a container asks every 15 seconds, and Celery and
Django would cost it 0.3 to 0.7 s of CPU each time.

For `make run` and for containers, so it speaks to HOST and PORT as gunicorn's settings do.
"""

import http
import http.client
import os
import sys

TIMEOUT_S = 2.0


def reachable(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def is_healthy(host: str, port: int) -> bool:
    """Whether /healthz answers 200. False, too, while nothing listens there."""
    # The name that a caller would use: the server refuses names outside ALLOWED_HOSTS.
    served = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip().removeprefix(".")
    headers = {"Host": served} if served not in {"", "*"} else {}
    connection = http.client.HTTPConnection(reachable(host), port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers=headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    listening = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    sys.exit(0 if is_healthy(*listening) else 1)
