"""After: Quart and the pool."""
