"""What happened. Acts: the spool, the hot store, queries."""
