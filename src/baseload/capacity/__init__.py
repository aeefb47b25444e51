"""What a deployment can serve. Thinks."""
