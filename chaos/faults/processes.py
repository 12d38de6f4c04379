"""Faults of the platform's own processes. Their names come from the Procfile."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from glob import glob
from random import Random
from typing import TypeVar

import psutil
import redis

from chaos.faults.kind import WHILE, Kind, NotInjected
from chaos.platforms.compose import Compose
from chaos.platforms.platform import Platform
from chaos.platforms.programs import REPOSITORY, end, frozen, kill, largest_file, tree
from chaos.platforms.programs import why_no_limits as no_limits
from mlops_platform import embedded

THERE_TIMEOUT_S = 10.0
CYCLE_TIMEOUT_S = 5.0
LOCKS = "cluster:*lock*"
FAKETIME = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib*/faketime/libfaketime.so.1")
Done = TypeVar("Done")

WITH_CHILDREN = ("web", "worker")
AHEAD_S, BEHIND_S = 30, -30


def kinds(platform: Platform) -> list[Kind]:
    found: list[Kind] = []
    for name in platform.commands:
        found += [
            Kind(f"{name}: killed", partial(_killed, name)),
            Kind(f"{name}: asked to end", partial(_asked_to_end, name)),
            Kind(f"{name}: frozen", partial(_frozen, name), WHILE),
        ]
    for name in WITH_CHILDREN:
        found += [
            Kind(f"{name}: child killed", partial(_child_killed, name)),
            Kind(f"{name}: child frozen", partial(_child_frozen, name), WHILE),
        ]
    clock = platform.clock
    found += [
        Kind("worker: children killed in mid-cycle", _children_killed_in_mid_cycle),
        Kind("worker: killed in mid-cycle", _worker_killed_in_mid_cycle),
        Kind("worker: children frozen in mid-cycle", _children_frozen_in_mid_cycle, WHILE),
        Kind("all processes: killed", _all_killed),
        Kind("all: stopped and started", _all_again),
        Kind("worker: one more", partial(_one_more, "worker"), WHILE),
        Kind(f"{clock}: one more", partial(_one_more, clock), WHILE),
        Kind(f"{clock}: full disk", partial(_full_disk, clock), WHILE, lambda _: no_limits()),
    ]
    for name in dict.fromkeys(("web", "worker", clock)):
        found += [
            Kind(f"{name}: clock ahead", partial(_clock_off, name, AHEAD_S), WHILE, _no_faketime),
            Kind(f"{name}: clock behind", partial(_clock_off, name, BEHIND_S), WHILE, _no_faketime),
        ]
    return found


def _running(platform: Platform, name: str) -> list[psutil.Process]:
    """Waits for a process that an earlier fault has ended."""
    deadline = time.monotonic() + THERE_TIMEOUT_S
    while not (found := platform.processes(name)):
        if time.monotonic() > deadline:
            raise NotInjected(f"{name} does not run.")
        time.sleep(0.05)
    return found


def _children(platform: Platform, name: str, count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + THERE_TIMEOUT_S
    while True:
        found: list[psutil.Process] = []
        for process in _running(platform, name):
            with suppress(psutil.Error):
                found += process.children()
        if len(found) >= count:
            return found
        if time.monotonic() > deadline:
            raise NotInjected(f"{name} has no children.")
        time.sleep(0.05)


def _killed(name: str, platform: Platform, draw: Random, _lasts_s: float) -> None:
    kill([draw.choice(_running(platform, name))])


def _asked_to_end(name: str, platform: Platform, draw: Random, _lasts_s: float) -> None:
    with suppress(psutil.Error):
        draw.choice(_running(platform, name)).terminate()


def _frozen(name: str, platform: Platform, draw: Random, lasts_s: float) -> None:
    with frozen(tree(draw.choice(_running(platform, name)))):
        time.sleep(lasts_s)


def _child_killed(name: str, platform: Platform, draw: Random, _lasts_s: float) -> None:
    kill([draw.choice(_children(platform, name, 1))])


def _child_frozen(name: str, platform: Platform, draw: Random, lasts_s: float) -> None:
    with frozen([draw.choice(_children(platform, name, 1))]):
        time.sleep(lasts_s)


def in_mid_cycle(client: "redis.Redis", act: Callable[[str], Done]) -> Done:
    """Call `act` with the name of a cluster's lock, at a moment when a worker has it."""
    deadline = time.monotonic() + CYCLE_TIMEOUT_S
    while time.monotonic() < deadline:
        if keys := client.keys(LOCKS):
            return act(str(keys[0]))
        time.sleep(0.0005)
    raise NotInjected("No cycle ran.")


def _children_killed_in_mid_cycle(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    children = _children(platform, "worker", 2)
    with platform.redis() as client:
        in_mid_cycle(client, lambda _: kill(children))


def _worker_killed_in_mid_cycle(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    all_of_it = [each for worker in _running(platform, "worker") for each in tree(worker)]
    with platform.redis() as client:
        in_mid_cycle(client, lambda _: kill(all_of_it))


def _children_frozen_in_mid_cycle(platform: Platform, _draw: Random, lasts_s: float) -> None:
    children = _children(platform, "worker", 2)

    def freeze(_lock: str) -> None:
        with frozen(children):
            time.sleep(lasts_s)

    with platform.redis() as client:
        in_mid_cycle(client, freeze)


def _all_killed(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    kill([each for name in platform.commands for each in platform.processes(name)])


def _all_again(platform: Platform, _draw: Random, _lasts_s: float) -> None:
    platform.again()


def _one_more(name: str, platform: Platform, _draw: Random, lasts_s: float) -> None:
    """Beside those that run, with a data folder of its own and the same servers."""
    own = platform.folder / "one-more"
    own.mkdir(exist_ok=True)
    environment = {
        "DATABASE_URL": embedded.postgres_url(platform.data),
        "REDIS_URL": embedded.redis_url(platform.data),
        **platform.environment(),
        "MLOPS_DATA_DIR": str(own),
    }
    with platform.log.open("ab") as log:
        process = subprocess.Popen(
            ["python", "-m", "mlops_platform.procfile", name],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        time.sleep(lasts_s + 2)  # it takes so long to start
    finally:
        end(process, 15, THERE_TIMEOUT_S)


def _full_disk(name: str, platform: Platform, draw: Random, lasts_s: float) -> None:
    with largest_file(draw.choice(_running(platform, name)), 0):
        time.sleep(lasts_s)


def _clock_off(name: str, seconds: int, platform: Platform, draw: Random, lasts_s: float) -> None:
    """One container's clock is so far off, from its start to its end."""
    assert isinstance(platform, Compose)
    container = draw.choice(platform.containers[name])
    container.stop()
    container.start(
        LD_PRELOAD=_library() or "",
        FAKETIME=f"{seconds:+}s",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    try:
        time.sleep(lasts_s + 3)  # it takes so long to start
    finally:
        container.stop()
        container.start()


def _no_faketime(platform: Platform) -> str | None:
    if not isinstance(platform, Compose):
        return "The supervisor's processes share its clock."
    if _library() is None:
        return "There is no libfaketime here (Debian: apt install faketime)."
    return None


def _library() -> str | None:
    found = [path for pattern in FAKETIME for path in glob(pattern)]  # noqa: PTH207 - from the root
    return found[0] if found else None
