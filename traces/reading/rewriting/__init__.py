"""Files of which DuckDB reads no rows as they are, written anew as rows in a temporary file."""
