"""The answers of the day: small, fair, the same routes over the same tables."""
