"""The scripts: training, evaluation and prediction, run from a clone of the repository."""
