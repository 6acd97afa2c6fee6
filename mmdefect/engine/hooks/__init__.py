"""Hooks; each in its own module, imported by name through the registry."""
