"""Products with good and defective images, for anomaly maps."""
