"""Requests that arrive over time: what serving them takes, and how long they wait."""
