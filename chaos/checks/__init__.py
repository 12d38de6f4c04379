"""What must be true all the time, what must be true at the end, and how soon service is back."""
