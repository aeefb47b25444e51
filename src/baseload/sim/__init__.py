"""What would happen: requests through replicas that are not bought yet. Thinks."""
