"""`python -m mlops_platform.embedded COMMAND…`: run a command, such as a worker on its
own, with the embedded servers up.
"""

import subprocess
import sys

from mlops_platform.embedded import services_for_environment


def main(command: list[str]) -> int:
    """Run the command to its end; returns its exit code."""
    if not command:
        sys.exit("usage: python -m mlops_platform.embedded COMMAND [ARGUMENT…]")
    with services_for_environment(), subprocess.Popen(command) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue  # the terminal sent it to the command too, which decides when to end
            except SystemExit:
                process.terminate()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
