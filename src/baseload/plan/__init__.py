"""What to do: options and the verdict. Thinks."""
