"""The maths of every paper as pure functions on tensors; imports torch alone."""
