"""A live page for people: how the database, the pool and the requests are, and what healed."""
