"""Channels of a network: their groups, a plan, the rebuilt network, its cost."""
