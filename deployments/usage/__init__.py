"""Who had how much capacity allocated, when, and what came of it: usage and accounting."""
