"""Anomaly models that learn product after product. Never imports mmdet."""
