"""What a student learns from its teacher: context, terms, strategies."""
