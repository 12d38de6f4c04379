"""Deletes what has been kept long enough, little by little, beside everything else."""
