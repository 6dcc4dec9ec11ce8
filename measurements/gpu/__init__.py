"""The GPU at hand: devices, its energy counter, metered windows and their gates."""
