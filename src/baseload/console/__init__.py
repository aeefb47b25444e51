"""What people look at. Acts."""
