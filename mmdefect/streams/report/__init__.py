"""Reports of a stream: one page with its numbers and pictures."""
