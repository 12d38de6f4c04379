"""A Docker engine of the benchmark's own, and containers made on it without the platform."""

import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import docker
import psutil

from benchmarks.on_docker.larger_engine import larger_engine
from deployments.runtimes.docker.containers import CLUSTER
from mlops_platform.tests.equipment.docker_engine import engine_in, root_file_system

IMAGE = "mlops-platform-bench/busybox:1"
SLEEPS = ("sleep", "86400")
CPU_MILLI, RAM_MIB, PIDS = 1000, 32, 64  # of each container
MOST_CPUS = 4000  # that the platform finds
ENDING_THREADS = 8
ALONE = "bench"  # the label of those that the platform does not know
LIMITS = (
    *("--cpus", f"{CPU_MILLI / 1000}", "--memory", f"{RAM_MIB}m", "--memory-swap", f"{RAM_MIB}m"),
    *("--pids-limit", f"{PIDS}", "--init", "--cap-drop", "ALL", "--network", "none"),
    *("--security-opt", "no-new-privileges", "--ipc", "private", "--cgroupns", "private"),
    *("--log-driver", "json-file", "--log-opt", "max-size=10m", "--log-opt", "max-file=3"),
)
HOST_CONFIG = {  # the same in the words of the API
    "NanoCpus": CPU_MILLI * 1_000_000,
    "Memory": RAM_MIB * 2**20,
    "MemorySwap": RAM_MIB * 2**20,
    "PidsLimit": PIDS,
    "Init": True,
    "CapDrop": ["ALL"],
    "NetworkMode": "none",
    "SecurityOpt": ["no-new-privileges"],
    "IpcMode": "private",
    "CgroupnsMode": "private",
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
}


class OwnEngine:
    """`with OwnEngine() as engine`: an engine until the block ends. Raises NoEngine if none
    starts."""

    def __enter__(self) -> "OwnEngine":
        with ExitStack() as until_the_end:
            folder = Path(tempfile.mkdtemp(prefix="mlops-bench-docker-"))
            self.url = until_the_end.enter_context(engine_in(folder)).url
            self.client = self.connect()
            until_the_end.callback(self.client.close)
            repository, _, tag = IMAGE.partition(":")
            self.client.import_image_from_data(root_file_system(), repository, tag)
            pid = int((folder / "docker.pid").read_text())
            self.process = psutil.Process(pid)
            larger = larger_engine(folder / "docker.sock", self.client, MOST_CPUS)
            self.attach_url = until_the_end.enter_context(larger)
            self._until_the_end = until_the_end.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End the containers first: an engine leaves them behind."""
        ids = [each["Id"] for each in self.client.containers(all=True)]
        self._in_threads(self.remove, ids, ENDING_THREADS)
        self._until_the_end.close()

    def connect(self) -> Any:
        """A client for one thread."""
        return docker.APIClient(base_url=self.url, timeout=120)

    def program(self, *words: str) -> str:
        """The output of the docker program."""
        done = subprocess.run(
            ["docker", "-H", self.url, *words], capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    def run(self) -> str:
        """`docker run -d`; the container's id."""
        return self.program("run", "-d", "--label", ALONE, *LIMITS, IMAGE, *SLEEPS)

    def create_and_start(self, client: Any) -> str:
        """Create and start a container by two calls of the engine's API; its id."""
        body = {
            "Image": IMAGE,
            "Cmd": list(SLEEPS),
            "Labels": {ALONE: ""},
            "HostConfig": HOST_CONFIG,
        }
        made: str = client.create_container_from_config(body)["Id"]
        client.start(made)
        return made

    def remove(self, client: Any, container_id: str) -> None:
        client.remove_container(container_id, v=True, force=True)

    def kill_and_remove(self, client: Any, container_id: str) -> None:
        client.kill(container_id)
        self.remove(client, container_id)

    def stop_and_run(self, container_id: str) -> str:
        """`docker stop && docker run -d`; the new one's id."""
        self.program("stop", container_id)
        return self.run()

    def start_many(self, count: int, threads: int) -> list[str]:
        return self._in_threads(lambda api, _: self.create_and_start(api), [""] * count, threads)

    def end_many(self, ids: list[str], threads: int) -> None:
        self._in_threads(self.kill_and_remove, ids, threads)

    def count(self, cluster_id: str, *, alive: bool = False) -> int:
        """The number of a cluster's containers, or of the running ones."""
        filters = {"label": f"{CLUSTER}={cluster_id}"}
        return len(self.client.containers(all=not alive, quiet=True, filters=filters))

    def _in_threads(
        self, work: Callable[[Any, str], Any], items: list[str], threads: int
    ) -> list[Any]:
        """Call `work(client, item)` for each item, on threads with a client each."""

        def share(number: int) -> list[Any]:
            client = self.connect()
            try:
                return [work(client, item) for item in items[number::threads]]
            finally:
                client.close()

        with ThreadPoolExecutor(threads) as pool:
            return [each for done in pool.map(share, range(threads)) for each in done]
