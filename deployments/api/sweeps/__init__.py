"""The calls for sweeps."""
