"""What the cards of one kind of GPU have in common, and how each lies among them."""
