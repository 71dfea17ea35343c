"""The experiments behind the reports in `docs/reports/`."""
