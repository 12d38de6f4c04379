"""Users of the platform: what they ask for, and what they remember of each answer."""
