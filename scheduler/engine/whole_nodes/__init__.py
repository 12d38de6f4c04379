"""Workloads that take whole nodes, or all GPUs of nodes."""
