"""Public datasets and foreign weights, converted to what mmdefect reads."""
