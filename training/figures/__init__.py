"""Figures, written as PNG files: overlays, curves, confusion matrices and codeword pages."""

import matplotlib

matplotlib.use("Agg")  # draws to files, so no display is needed
