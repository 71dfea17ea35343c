"""Decode heads, one per file: functions from the features of a backbone to output tensors."""
