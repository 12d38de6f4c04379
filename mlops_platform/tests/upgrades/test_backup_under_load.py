"""A backup of a platform that is in use, and the platform that is started on what came back."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_platform.backup.file import Reader
from mlops_platform.tests.equipment.plugin import REPOSITORY
from mlops_platform.tests.upgrades.ends import wait_for_the_end
from mlops_platform.tests.upgrades.installation import Installation, environment_on
from mlops_platform.tests.upgrades.load import Load, Proxy, set_up

pytestmark = pytest.mark.e2e
MANAGE = f"'{sys.executable}' manage.py"


@pytest.fixture
def platform(database_url: str, tmp_path: Path) -> Iterator[Installation]:
    (tmp_path / "run").mkdir()
    installation = Installation(REPOSITORY, tmp_path / "run", environment_on(database_url))
    yield installation
    installation.kill()
    print(installation.logs())  # noqa: T201 - pytest shows it when the test fails


def pipe(platform: Installation, command: str) -> str:
    """What a command says that reads or writes a pipe, as one of compose does."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=REPOSITORY,
        env=platform.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def rows_of(path: Path) -> dict[str, list[bytes]]:
    """The rows of each table, in some order."""
    with path.open("rb") as file:
        reader = Reader(file)
        found = {}
        for name, _ in reader.manifest["tables"]:
            reader.begin_table()
            found[name] = sorted(b"".join(iter(lambda: reader.read(8192), b"")).splitlines())
        return found


def test_a_backup_under_load_comes_back_row_for_row_and_goes_on(
    platform: Installation, database_url: str, tmp_path: Path
) -> None:
    proxy = Proxy()
    platform.manage("migrate", "--verbosity=0")
    platform.start("web", *platform.others())
    proxy.ports = [platform.port]
    tight, _ = set_up(proxy)
    with Load(proxy, tight) as load:
        load.more(15)
        of_before = set(load.submitted)
        platform.manage("backup", str(tmp_path / "first"))
        load.more(5)
    assert (proxy.server_errors, load.refused) == ([], [])
    platform.stop("web", *platform.others())

    said = pipe(platform, f"cat '{tmp_path}/first' | {MANAGE} restore --replace -")
    assert "Audit:" not in said, said
    pipe(platform, f"{MANAGE} backup - | cat > '{tmp_path}/second'")
    first, second = rows_of(tmp_path / "first"), rows_of(tmp_path / "second")
    differing = {name for name in first if first[name] != second[name]}
    assert differing <= {"clusters_cluster"}, differing  # each counts as changed
    assert len(first["deployments_deployment"]) >= len(of_before)

    platform.start("web", *platform.others())
    more = {"total_cpu": 1000, "total_ram": 1000 * 1024, "total_gpu": 1000}
    assert proxy.call("PATCH", f"/api/clusters/{tight}", more).status == 200
    wait_for_the_end(database_url, of_before)
    platform.manage("audit", "--queues")
    platform.manage("replay", "--all", "--strict")
    assert "Traceback" not in platform.logs()
