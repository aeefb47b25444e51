"""What is asked: facts, calls, buckets, load over time. Thinks."""
