"""What happens around an iteration; built through the registry."""
