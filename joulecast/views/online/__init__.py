"""What is shown of requests that are served as they come."""
