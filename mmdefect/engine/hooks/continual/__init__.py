"""Hooks that need the step before, or leave something for the next."""
