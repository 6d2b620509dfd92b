"""What operators ask and do, as functions of a store: the command line and HTTP call the same ones."""
