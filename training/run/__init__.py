"""The fit loop: strategies, checkpoints, callbacks and the run folder."""
