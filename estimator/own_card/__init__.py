"""Estimates for the very card that will serve, as replays that were metered on it tell of it."""
