"""Topics and groups as an operator reads and sets them."""
