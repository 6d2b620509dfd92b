"""What was set aside: read, sent again, put away."""
