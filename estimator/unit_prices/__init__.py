"""Prices per unit of physical work: what carries from model to model, and from GPU to GPU."""
