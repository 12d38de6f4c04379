"""Looks the locked requirements up in the database of known vulnerabilities: `audit.py [LOCK…]`.

Prints each vulnerability and exits with 1 if there is one. Where the database does not answer, it
says so and exits with 0: a machine without a network must not fail for that. PIP_AUDIT_OSV_URL
names another database than pip-audit's.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The first contains those of the platform, the simulation and the tests.
LOCKS = ("requirements-dev.txt", "requirements-docs.txt")
AWAY = re.compile(
    r"(Connection|Connect|Proxy|SSL|Timeout|Retry|Service|HTTP|Chunked\w*|JSONDecode)Error"
    r"|Timeout\b|Could not connect"
)
TIMEOUT_S = 15


class Unreachable(Exception):  # noqa: N818 - a state of the network, not a mistake
    """The database of vulnerabilities does not answer."""


def vulnerable(lock: Path) -> list[str]:
    """A line for each known vulnerability of what the lock pins. Raises Unreachable."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip"]
    command += ["--require-hashes", "--vulnerability-service", "osv", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", str(TIMEOUT_S)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    try:
        found: Sequence[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except ValueError:
        if AWAY.search(done.stderr):
            raise Unreachable from None
        raise SystemExit(f"pip-audit failed:\n{done.stderr}") from None
    return [
        f"{package['name']} {package['version']}: {each['id']}, "
        f"mended in {', '.join(each['fix_versions']) or 'no version yet'}"
        for package in found
        for each in package.get("vulns", ())
    ]


def main(locks: Sequence[Path]) -> int:
    """Prints what is vulnerable; the exit code."""
    try:
        found = sorted({line for lock in locks for line in vulnerable(lock)})
    except Unreachable:
        print(
            "The database of vulnerabilities does not answer: whether there are any is not known."
        )
        return 0
    print("\n".join([*found, f"{len(locks)} locks, {len(found)} known vulnerabilities"]))
    return bool(found)


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    sys.exit(main([Path(each) for each in sys.argv[1:]] or [root / lock for lock in LOCKS]))
