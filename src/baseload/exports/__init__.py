"""The ledger in the formats of others: FOCUS, OpenTelemetry, CSV, Parquet, Grafana and Prometheus. Acts."""
