"""Tests of `measurements/sweep`."""
