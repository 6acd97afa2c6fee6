"""Pruning of classifiers: which channels stay, and the networks that they make.

Three rooms: ``channels`` (groups of channels, plans, the rebuilt network, its cost; all
that models need), ``scoring`` (filters on segmented images) and, above both, ``sweep``
(networks of many sizes, and which one to take). ``report`` writes a sweep's page.
"""
