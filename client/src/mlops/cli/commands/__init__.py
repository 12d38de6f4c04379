"""The commands. Each module has those of one subject, as `NAME_` for the command NAME."""
