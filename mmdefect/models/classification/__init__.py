"""Classifiers for defective/ok images: what mmpretrain lacks of the casting study."""
