"""The Docker runtime passes the contract."""

import pytest

from deployments.tests.runtimes.contract import RuntimeContract
from deployments.tests.runtimes.docker.busybox import Busybox


@pytest.mark.docker
class TestContract(RuntimeContract):
    @pytest.fixture
    def harness(self, busybox: Busybox) -> Busybox:
        return busybox
