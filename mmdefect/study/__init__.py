"""A study: several classifiers trained alike, in one table."""
