"""What is served: the export of trained models, and a client. See README.md."""
