"""The store as a whole: backed up, restored, purged."""
