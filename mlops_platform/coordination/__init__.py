"""What processes agree on through Redis: its client, locks, wake-ups, and the cache."""
