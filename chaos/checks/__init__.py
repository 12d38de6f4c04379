"""What must hold all the time, what must hold at the end, and how soon service is back."""
