"""Sweeps: submitting one, and what its members may be told together."""
