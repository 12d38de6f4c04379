"""The kinds of faults. Each injects, lasts for its time, and heals what does not heal by itself."""
