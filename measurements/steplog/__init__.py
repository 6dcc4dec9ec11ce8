"""Logs beside a metered run: what each engine step fed, every tick of the energy counter."""
