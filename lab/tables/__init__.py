"""Tables that docs take from result files."""
