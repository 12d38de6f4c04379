"""Faults of the network between processes and servers; compose alone has one."""

import time
from functools import partial
from random import Random

from chaos.faults.kind import WHILE, Kind
from chaos.platforms.compose import Compose
from chaos.platforms.network import Network
from chaos.platforms.platform import Platform

SLOW_S = {"PostgreSQL": 0.02, "Redis": 0.05}


def kinds(_platform: Platform) -> list[Kind]:
    return [
        kind
        for server in SLOW_S
        for kind in (
            Kind(f"network to {server}: slow", partial(_slow, server), WHILE, _no_network),
            Kind(f"network to {server}: silent", partial(_silent, server), WHILE, _no_network),
            Kind(f"network to {server}: cut", partial(_cut, server), WHILE, _no_network),
            Kind(f"network to {server}: reset", partial(_reset, server), why_not=_no_network),
        )
    ]


def _network(platform: Platform, server: str) -> Network:
    assert isinstance(platform, Compose)
    return platform.networks[server]


def _no_network(platform: Platform) -> str | None:
    return None if isinstance(platform, Compose) else "Its servers are reached over sockets."


def _slow(server: str, platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _network(platform, server).slow(SLOW_S[server]):
        time.sleep(lasts_s)


def _silent(server: str, platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _network(platform, server).silent():
        time.sleep(lasts_s)


def _cut(server: str, platform: Platform, _draw: Random, lasts_s: float) -> None:
    with _network(platform, server).cut():
        time.sleep(lasts_s)


def _reset(server: str, platform: Platform, _draw: Random, _lasts_s: float) -> None:
    _network(platform, server).reset()
