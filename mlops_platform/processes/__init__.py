"""The processes of `make run`: their supervisor, and the pauses before one is started again."""
