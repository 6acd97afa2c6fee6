"""A line of a factory: its versions, every decision of theirs, and what became of them.

Needs neither torch nor OpenMMLab.
"""
