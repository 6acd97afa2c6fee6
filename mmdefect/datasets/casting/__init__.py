"""Photographs of castings, defective or ok."""
