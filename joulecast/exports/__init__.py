"""Estimates in the formats that others report energy and carbon in, a module a format."""
