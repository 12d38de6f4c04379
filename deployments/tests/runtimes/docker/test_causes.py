"""What ended a container: its program, a stop by others, or a restart of its engine."""

from collections.abc import Callable
from typing import Any

import pytest

from deployments.runtimes.base import Code, LaunchSpec
from deployments.runtimes.docker import containers, ends
from deployments.runtimes.docker.runtime import DockerRuntime
from deployments.tests.runtimes.docker.busybox import Busybox
from deployments.tests.runtimes.docker.engine import IMAGE, DockerEngine, give_up
from deployments.tests.runtimes.harness import Work, ended, key_of, problem_of, ready, wait_until

pytestmark = pytest.mark.docker


ENDS_BY_A_SIGNAL = Work(IMAGE, ("sh", "-c"), ("echo ready; exec sleep 600",))


def handles_a_stop(code: int) -> Work:
    return Work(IMAGE, ("sh", "-c"), (f"trap 'exit {code}' TERM; echo ready; sleep 600 & wait",))


@pytest.fixture
def runtime(busybox: Busybox):
    runtime = busybox.runtime("ours")
    yield runtime
    runtime.close()


@pytest.fixture
def run(busybox: Busybox, runtime: DockerRuntime) -> Callable[[Work], LaunchSpec]:
    def run(work: Work) -> LaunchSpec:
        spec = busybox.launch_spec(work)
        runtime.start(spec)
        ready(runtime, spec)
        if "echo ready" in work.args[0]:
            # Before that a signal may be lost: the trap is not there, or even the container's first
            # process, which passes signals on, is not.
            wait_until(lambda: b"ready" in b"".join(runtime.logs(key_of(spec))))
        return spec

    return run


@pytest.mark.parametrize(
    ("code", "problem"), [(0, Code.DISRUPTED), (143, Code.DISRUPTED), (3, Code.EXITED)]
)
def test_a_container_that_a_person_stops_was_disrupted_unless_it_failed(
    docker_engine: DockerEngine, runtime, run, code: int, problem: Code
):
    spec = run(handles_a_stop(code))
    docker_engine.client.stop(containers.name(key_of(spec)), timeout=20)
    status = ended(runtime, spec)
    assert (status.exit_code, problem_of(status)) == (code, problem)


@pytest.mark.parametrize(("code", "problem"), [(0, None), (143, Code.DISRUPTED), (3, Code.EXITED)])
def test_a_container_that_gets_a_signal_is_disrupted_only_if_it_ends_by_it(
    docker_engine: DockerEngine, runtime, run, code: int, problem: Code | None
):
    spec = run(handles_a_stop(code))
    docker_engine.client.kill(containers.name(key_of(spec)), "SIGTERM")
    status = ended(runtime, spec)
    assert (status.exit_code, problem_of(status)) == (code, problem)


def test_an_end_of_its_own_is_no_disruption_whatever_its_code(busybox, runtime, run):
    for code in (0, 137, 143, 255):
        spec = busybox.launch_spec(busybox.exits(code))
        runtime.start(spec)
        status = ended(runtime, spec)
        assert (status.exit_code, problem_of(status)) == (code, Code.EXITED if code else None)


def test_an_end_of_its_own_after_a_person_has_restarted_it_is_no_disruption(
    docker_engine: DockerEngine, runtime, run
):
    spec = run(Work(IMAGE, ("sh", "-c"), ("if [ -e /x ]; then exit 0; fi; >/x; sleep 600",)))
    docker_engine.client.restart(containers.name(key_of(spec)), timeout=20)
    status = ended(runtime, spec)
    assert (status.exit_code, problem_of(status)) == (0, None)


def test_an_end_with_0_in_a_restart_of_its_engine_is_a_disruption(
    docker_engine: DockerEngine, runtime, run
):
    if docker_engine.daemon is None:
        give_up("An engine at DOCKER_HOST is not restarted.")
        raise AssertionError
    well, by_signal = run(handles_a_stop(0)), run(ENDS_BY_A_SIGNAL)
    docker_engine.daemon.stop()
    docker_engine.daemon.start()
    found: list[Any] = [ended(runtime, spec) for spec in (well, by_signal)]
    assert [each.exit_code for each in found] == [0, 143]
    assert {problem_of(each) for each in found} == {Code.DISRUPTED}
    assert {each.problem.message for each in found} == {
        "Its engine was restarted or stopped, and has stopped it."
    }


def test_a_stop_that_its_engine_reports_late_is_a_disruption(
    docker_engine: DockerEngine, runtime, run, monkeypatch: pytest.MonkeyPatch
):
    """On a busy engine the report of a stop may come a second after the end that it caused."""
    spec = run(handles_a_stop(0))
    docker_engine.client.stop(containers.name(key_of(spec)), timeout=20)
    container_id = docker_engine.client.inspect_container(containers.name(key_of(spec)))["Id"]
    remembered, asked = ends._remembered, list[float]()

    def as_of_a_busy_engine(engine: Any, since: float, until: float) -> Any:
        events, date = remembered(engine, since, until)
        asked.append(until)
        if len(asked) == 1:
            return [each for each in events if each.action != "stop"], date
        return [*events, ends.Event("stop", container_id, "")], date

    monkeypatch.setattr(ends, "_remembered", as_of_a_busy_engine)
    status = ended(runtime, spec)
    assert (status.exit_code, problem_of(status)) == (0, Code.DISRUPTED)
    assert len(asked) == 2
