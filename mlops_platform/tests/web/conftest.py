import pytest

from mlops_platform.tests.equipment.server import COMMAND
from mlops_platform.tests.web import impatient_server


@pytest.fixture(scope="package")
def server_module():
    return (impatient_server.__name__, *COMMAND[1:])


@pytest.fixture(autouse=True)
def the_tests_know_the_servers_patience(monkeypatch):
    for name, seconds in impatient_server.PATIENCE_S.items():
        monkeypatch.setattr(name, seconds)
