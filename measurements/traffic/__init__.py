"""A minute of made-up traffic under the meter: requests that come, are served and end, logged."""
