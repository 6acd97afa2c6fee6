"""What our methods cost, beside what they are built on."""
