"""Whose energy is whose: prompts', cached tokens', outputs', and that of waiting."""
