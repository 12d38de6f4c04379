"""Forecasts of starts, between the tables and scheduler/forecast: what they rest on, how they are
made by turns, kept and shown, and how good they were."""
