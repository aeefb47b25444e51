"""What other programs logged, and what providers state, read into the ledger: one file for each format. Acts."""
