"""Transforms; imported by the registry when a pipeline names them."""
