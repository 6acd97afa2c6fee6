"""Detectors that learn class after class."""
