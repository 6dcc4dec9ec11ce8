"""Requests one by one, and requests that are all alike in place of a trace."""
