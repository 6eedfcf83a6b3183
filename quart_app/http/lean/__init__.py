"""Quart with less to do for each request: what no route of ours uses is not set up or looked for.

A handler sees what it sees in Quart, with two exceptions: there are no sessions (and no cookies),
and the body of a GET or HEAD, which means nothing, is not read.
"""

from quart_app.http.lean.app import LeanQuart
from quart_app.http.lean.request import LeanBody

__all__ = ["LeanBody", "LeanQuart"]
