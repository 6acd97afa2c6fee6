"""Datasets, one file each; imported by the registry when a config names them."""
