"""What tokens and requests cost, as people see it."""
