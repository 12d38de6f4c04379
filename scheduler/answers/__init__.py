"""What users ask the scheduler: quotes, explanations, and why nothing is preempted."""
