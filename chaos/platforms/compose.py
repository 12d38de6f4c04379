"""The platform as compose starts it, without Docker: which processes and which settings is read
from compose.yaml, and what each process is from the Procfile.

PostgreSQL and Redis are servers on their own, reached over TCP; there are two containers of each
process that may run several times. All run in production's mode, behind a proxy that ends TLS.
"""

import base64
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import psutil
import yaml

from chaos.platforms.containers import FIRST_PAUSE_S, Container
from chaos.platforms.network import Network
from chaos.platforms.platform import Platform, free_port, own_environment
from chaos.platforms.programs import REPOSITORY
from mlops_platform import embedded
from mlops_platform.embedded.places import DATABASE, DATABASE_USER, postgres_socket, redis_socket
from mlops_platform.embedded.postgres import Postgres
from mlops_platform.embedded.process import EmbeddedServerError
from mlops_platform.embedded.redis import Redis

COMPOSE = REPOSITORY / "compose.yaml"
ALONE = ("web", "runtimes")  # one container each; two of all others
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


class Compose(Platform):
    name = "compose"
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}

    def __init__(self) -> None:
        super().__init__()
        self._given = {
            "SECRET_KEY": secrets.token_urlsafe(64),
            "METRICS_TOKEN": secrets.token_urlsafe(64),
            "CREDENTIALS_KEYS": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "POSTGRES_PASSWORD": secrets.token_hex(20),
            "REDIS_PASSWORD": secrets.token_hex(20),
            "ALLOWED_HOSTS": "127.0.0.1",
        }
        self.postgresql_port, self.redis_port = free_port(), free_port()
        self._services: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
        self.containers: dict[str, list[Container]] = {}
        self._until_the_end = ExitStack()
        self._stopping = threading.Event()
        self.networks: dict[str, Network] = {}

    def environment(self) -> dict[str, str]:
        return self._environment_of("web", "command")

    def start(self) -> None:
        self._stopping.clear()
        self._until_the_end = ExitStack()
        self._until_the_end.enter_context(embedded.services(self.data, postgres=True, redis=True))
        self._keep_servers()
        for name, port, socket in (
            ("PostgreSQL", self.postgresql_port, postgres_socket(self.data)),
            ("Redis", self.redis_port, redis_socket(self.data)),
        ):
            self.networks[name] = Network(port, socket)
            self._until_the_end.callback(self.networks[name].stop)
        for word in ("migrate", "collectstatic"):
            done = self.manage(word, "--no-input", "--verbosity", "0", timeout_s=300)
            if done.returncode:
                raise RuntimeError(f"{word}: {done.stderr}")
        for name in self.commands:
            self._start_containers(name)

    def stop(self) -> None:
        ending = [
            threading.Thread(target=each.stop) for some in self.containers.values() for each in some
        ]
        for thread in ending:
            thread.start()
        for thread in ending:
            thread.join()
        self.containers.clear()
        self._stopping.set()
        self._until_the_end.close()

    def processes(self, name: str) -> list[psutil.Process]:
        found = [each.process() for each in self.containers.get(name, [])]
        return [each for each in found if each is not None]

    def _start_containers(self, name: str) -> None:
        [service] = [each for each in self._services.values() if each.get("command") == [name]]
        assert service["restart"] == "unless-stopped", f"compose.yaml: {name} is not kept running"
        count = 1 if name in ALONE else 2
        self.containers[name] = [
            Container(
                f"{name}-{number}",
                [sys.executable, "-m", "mlops_platform.procfile", name],
                self._environment_of(name, "command" if name == "web" else f"{name}-{number}"),
                self.log,
            )
            for number in range(1, count + 1)
        ]
        for container in self.containers[name]:
            container.start()

    def _environment_of(self, name: str, folder: str) -> dict[str, str]:
        """A container has a data folder of its own; the server's processes see no other."""
        data = self.folder / "containers" / folder
        data.mkdir(parents=True, exist_ok=True)
        declared = {
            key: substituted(str(value), self._given)
            for key, value in self._services[name]["environment"].items()
        }
        return {
            **own_environment(),
            **declared,
            "DATABASE_URL": f"postgres://{DATABASE_USER}@127.0.0.1:{self.postgresql_port}/{DATABASE}",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "MLOPS_ENV": "production",  # this and the rest: the Dockerfile
            "MLOPS_DATA_DIR": str(data),
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
        }

    def _keep_servers(self) -> None:
        """PostgreSQL and Redis are started again when they end."""
        self._threads = [
            threading.Thread(target=self._keep, args=(server,), daemon=True)
            for server in (Postgres(self.data), Redis(self.data))
        ]
        for thread in self._threads:
            thread.start()
            self._until_the_end.callback(thread.join)

    def _keep(self, server: Postgres | Redis) -> None:
        while not self._stopping.wait(FIRST_PAUSE_S):
            if server.is_there():
                continue
            try:
                server.launch()
            except (EmbeddedServerError, OSError, psutil.Error) as error:
                with self.log.open("a") as log:
                    log.write(f"{server.name} could not be started: {error}\n")
            time.sleep(1)  # until it has its socket


def substituted(text: str, given: Mapping[str, str]) -> str:
    """The text with compose's variables replaced. Raises KeyError for one that has to be set."""

    def value(match: "re.Match[str]") -> str:
        name, how, default = match.groups()
        if given.get(name):
            return given[name]
        if how == "?":
            raise KeyError(f"compose.yaml wants {name}: {default}")
        return default or ""

    return VARIABLE.sub(value, text)
