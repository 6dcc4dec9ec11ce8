"""Tests of `measurements/gpu`."""
