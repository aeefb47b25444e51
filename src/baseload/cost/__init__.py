"""What it costs: tokens, hours, bills, break-evens. Thinks."""
