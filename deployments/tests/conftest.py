"""Fixtures of the tests of deployments."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from deployments.signals import deployment_stopped


@pytest.fixture
def stop_signals() -> Iterator[list[tuple[UUID, set[UUID], str]]]:
    """The cluster, the deployments and the trigger of each `deployment_stopped`."""
    received = []

    def receive(cluster_id: UUID, deployment_ids: list[UUID], trigger: str, **_: Any) -> None:
        received.append((cluster_id, set(deployment_ids), trigger))

    deployment_stopped.connect(receive)
    yield received
    deployment_stopped.disconnect(receive)
