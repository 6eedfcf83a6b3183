"""The proof: load on the app while everything that can break breaks, and an account of what it cost.

`quart-app torture` (command.py). It needs a database server of its own; the app imports none of it.
"""
