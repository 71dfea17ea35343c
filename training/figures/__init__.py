"""Figures: overlays, curves, confusion matrices and codeword pages."""
