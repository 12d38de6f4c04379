"""Reads what has changed, in the order of commits: events, and the deployments they are of."""
