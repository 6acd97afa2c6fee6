"""What runs where there is no torch: packages, decisions, results. NumPy and OpenCV."""
