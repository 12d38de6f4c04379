"""`manage.py run`: the whole platform on this machine, until Ctrl-C."""

import errno
import os
import secrets
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connections

from mlops_platform import embedded
from mlops_platform.embedded.process import OWNER_ONLY
from mlops_platform.healthcheck import is_healthy, reachable
from mlops_platform.processes.supervisor import Outcome, Supervisor
from mlops_platform.procfile import read_procfile

OPERATOR = "operator"
READY_TIMEOUT_S = 60.0
PAGES = {
    "API and Swagger UI": "swagger/",
    "Admin": "admin/",
    "Health": "healthz",
    "Metrics": "metrics",
}


class Command(BaseCommand):
    help = "Runs web server, workers and timer with everything they need, until Ctrl-C."

    def handle(self, *_args: Any, **_options: Any) -> None:
        os.umask(OWNER_ONLY)  # of this process and of all that it starts
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _leave)
        host, port = _free_address()
        self._say("Preparing the database and the static files ...")
        call_command("migrate", verbosity=0, interactive=False)
        call_command("collectstatic", verbosity=0, interactive=False)
        self._say(_operator())
        connections.close_all()

        supervisor = Supervisor(
            read_procfile(),
            folder=settings.BASE_DIR,
            env=_environment(host, port),
        )
        supervisor.listen_to_signals()
        supervisor.start()
        try:
            outcome = supervisor.watch(lambda: is_healthy(host, port), READY_TIMEOUT_S)
            if outcome is Outcome.REACHED:
                self._say(_addresses(host, port))
                with embedded.kept_alive(self._say):
                    supervisor.keep_running(self._say)
        finally:
            self._say("Stopping ...")
            for name in supervisor.stop():
                self._say(f"{name} did not end in time and was killed.")
        if outcome is Outcome.TIMED_OUT:
            sys.exit(f"/healthz did not answer within {READY_TIMEOUT_S:.0f} s.")
        if supervisor.died is not None:
            code = supervisor.exit_code(supervisor.died)
            sys.exit(f"{supervisor.died} ended at the start (code {code}); the rest was stopped.")

    def _say(self, sentence: str) -> None:
        with suppress(OSError):  # the terminal may be gone; the processes must still be stopped
            self.stdout.write(sentence)
            self.stdout.flush()


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _free_address() -> tuple[str, int]:
    """HOST and PORT, checked before anything is started; exits with one sentence otherwise."""
    host, text = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        sys.exit(f"PORT must be a number from 1 to 65535, not {text!r}.")
    port = int(text)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            sys.exit(
                f"Port {text} on {host} is taken: choose another one with `PORT=8001 make run`."
            )
        sys.exit(f"The address {host}:{text} cannot be used: {error.strerror}.")
    return host, port


def _operator() -> str:
    """Make sure that an operator exists; a new operator's password is shown this once."""
    users = get_user_model()._default_manager
    if users.filter(username=OPERATOR).exists():
        return (
            f"The operator `{OPERATOR}` exists; "
            f"`{_python()} manage.py changepassword {OPERATOR}` sets a new password."
        )
    password = secrets.token_urlsafe(12)
    users.create_superuser(username=OPERATOR, password=password)
    return f"Created the operator `{OPERATOR}` with the password {password} (shown only now)."


def _python() -> str:
    """The interpreter as a user would type it in the checkout."""
    executable = Path(sys.executable)
    if executable.is_relative_to(settings.BASE_DIR):
        return str(executable.relative_to(settings.BASE_DIR))
    return str(executable)


def _environment(host: str, port: int) -> dict[str, str]:
    """The present environment, with what all processes of the platform must agree on."""
    programs = Path(sys.executable).parent
    return {
        "LOG_FORMAT": "plain",
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "HOST": host,
        "PORT": str(port),
        "MLOPS_DATA_DIR": str(settings.DATA_DIR),
        "PYTHONUNBUFFERED": "1",
        # Celery warns root on every start; running as root in a container is common.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",
    }


def _addresses(host: str, port: int) -> str:
    name = reachable(host)
    base = f"http://{f'[{name}]' if ':' in name else name}:{port}/"
    width = max(map(len, PAGES))
    lines = [f"  {title:{width}}  {base}{path}" for title, path in PAGES.items()]
    return "\n".join(["The platform runs:", *lines, "Ctrl-C stops it."])
