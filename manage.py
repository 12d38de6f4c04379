#!/usr/bin/env python
"""The project's commands. Starts the embedded PostgreSQL and Redis where no URL names others."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mlops_platform.settings")
    try:
        from django.core.management import execute_from_command_line

        from mlops_platform import embedded
    except ImportError as error:
        sys.exit(f"A package is missing ({error.name}). `make run` installs what is needed.")
    with embedded.services_for_environment():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
