"""One module for each page: what it shows, out of what `operations` knows."""
