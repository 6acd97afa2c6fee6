"""Streams: protocol -> steps -> runs -> matrix -> report.

A stream is a config whose classes arrive in steps. Step *k* starts from the model of
step *k-1*, sees only the data of its own classes, and is judged on all classes so far.
Only ``detection.py`` and ``plain.py`` know boxes, only ``anomaly.py`` knows products;
a report shows what a step has left.
"""
