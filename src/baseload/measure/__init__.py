"""What a live endpoint does: traffic sent to it by a real client. Acts."""
