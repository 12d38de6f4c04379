"""`python -m mlops` is the command `mlops`."""

from mlops.cli.main import main

if __name__ == "__main__":
    main()
