"""The sweep of tools/prune.py: candidates, recovery, decision, measurement."""
