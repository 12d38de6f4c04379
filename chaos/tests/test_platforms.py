"""The platforms are what the Procfile and compose.yaml say."""

from collections.abc import Iterator

import pytest
import yaml

from chaos.platforms.compose import COMPOSE, Compose, substituted
from chaos.platforms.platform import name_of
from mlops_platform.procfile import argv, read_procfile


@pytest.fixture
def compose() -> Iterator[Compose]:
    """One that was never started."""
    made = Compose()
    yield made
    made.__exit__(None, None, None)


def test_each_process_of_the_procfile_is_a_service_of_compose_that_is_kept_running() -> None:
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for name in read_procfile():
        [service] = [each for each in services.values() if each.get("command") == [name]]
        assert service["restart"] == "unless-stopped"


def test_a_process_is_known_by_its_command() -> None:
    commands = read_procfile()
    for name, command in commands.items():
        words = argv(command)[-1].removeprefix("exec ").split()
        program, *arguments = [word for word in words if "$" not in word]
        cmdline = ["/usr/bin/python", f"/venv/bin/{program}", *arguments, "16"]
        assert name_of(cmdline, commands) == name
    assert name_of(["/usr/bin/python", "manage.py", "run"], commands) is None
    assert name_of([], commands) is None


def test_one_process_of_the_procfile_is_the_clock(compose: Compose) -> None:
    assert compose.clock in compose.commands
    assert compose.clock not in {"web", "worker", "runtimes"}


def test_composes_variables_are_replaced() -> None:
    given = {"NAME": "ada", "EMPTY": ""}
    assert substituted("plain", given) == "plain"
    assert substituted("<${NAME}>", given) == "<ada>"
    assert substituted("${NAME:?needed}@${HOST:-here}", given) == "ada@here"
    assert substituted("${EMPTY:-other}${MISSING:-}", given) == "other"
    with pytest.raises(KeyError, match="MISSING"):
        substituted("${MISSING:?set it}", given)


def test_a_container_gets_the_environment_that_compose_declares_but_for_its_servers(
    compose: Compose,
) -> None:
    environment = compose.environment()
    assert environment["MLOPS_ENV"] == "production"
    assert environment["ALLOWED_HOSTS"] == "127.0.0.1"
    assert environment["DATABASE_URL"].endswith(f"127.0.0.1:{compose.postgresql_port}/mlops")
    assert environment["REDIS_URL"] == f"redis://127.0.0.1:{compose.redis_port}/0"
    declared = yaml.safe_load(COMPOSE.read_text())["services"]["web"]["environment"]
    assert set(declared) <= set(environment)
    assert not any("${" in value for value in environment.values())
