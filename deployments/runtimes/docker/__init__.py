"""The runtime of a Docker engine: one engine is one node."""
