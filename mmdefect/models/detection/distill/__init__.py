"""Distillation of detectors: context, terms, strategies."""
