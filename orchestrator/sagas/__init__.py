"""The shipped saga. It has no privilege: users' own load the same way, with `--app`."""
