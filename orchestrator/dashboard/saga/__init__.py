"""The page of one saga."""
