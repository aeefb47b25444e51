"""What the same calls could have cost, and what they did. Thinks."""
