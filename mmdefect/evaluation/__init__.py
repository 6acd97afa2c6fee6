"""Metrics the Runner calls; built through the registry, so nothing loads here."""
