"""Reads the output of replicas: `web` asks, and a worker of the runtimes' queue answers."""
