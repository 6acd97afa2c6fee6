"""Scores of filters, from weights or activations."""
