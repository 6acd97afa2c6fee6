"""Classifiers trained one after another and compared on the same images."""
