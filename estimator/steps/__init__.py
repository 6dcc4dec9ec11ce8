"""The step model: work of an engine's steps, times its price."""
