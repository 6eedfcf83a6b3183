"""Ours beside the answers of the day: one command, one table, one plot. See ``__main__``."""
