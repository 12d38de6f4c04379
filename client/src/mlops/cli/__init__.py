"""The command `mlops`. Each command's module is imported when the command is called."""
