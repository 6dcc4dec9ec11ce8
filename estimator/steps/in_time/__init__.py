"""Continuous batching in time, of one replica and of many."""
