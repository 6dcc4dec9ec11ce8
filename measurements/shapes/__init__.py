"""What a model's config says of the work that serving it takes."""
