"""What keeps the site from being built."""


class ComplaintError(Exception):
    """The site cannot be built; the message says what is wrong, where, and what to do."""
