"""Models. Import a task's package, or let the registry find a type by its name."""
