"""The world's cities and countries: look up, list, load."""
