"""One memory for every product."""
