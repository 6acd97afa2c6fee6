"""Hooks that draw what a model predicts."""
