"""Pruning of classifiers: which channels stay, and the networks that they make."""
