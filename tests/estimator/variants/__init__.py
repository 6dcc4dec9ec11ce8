"""Eager steps, drawn tokens and speculation."""
