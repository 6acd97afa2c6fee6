"""The page of a line or of a model, in a browser of this machine. Extra ``app``."""
