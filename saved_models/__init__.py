"""Export of trained models for serving, and a client. See README.md."""
