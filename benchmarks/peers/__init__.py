"""Programs that run other implementations, each in the environment of that implementation."""
