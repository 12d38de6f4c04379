"""Docker keeps the contract."""

import pytest

from deployments.tests.runtimes.busybox import Busybox
from deployments.tests.runtimes.contract import RuntimeContract


@pytest.mark.docker
class TestContract(RuntimeContract):
    @pytest.fixture
    def harness(self, busybox: Busybox) -> Busybox:
        return busybox
