"""What the gateway is told, and what it decides. Thinks."""
