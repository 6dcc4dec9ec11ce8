"""What tokens of a model cost at a load, to bill by."""
