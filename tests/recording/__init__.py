"""What the machine decided before sagas became graphs, kept word for word: a linear saga must come out the same."""
