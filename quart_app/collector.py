"""The garbage collector, told what a server is like.

Requests and connections that end are put away by reference counts; only errors leave it something to
find. Left to itself it looks at all that is young after every 700 objects (2,000 from Python 3.12 on)
that are not gone yet, as if they were garbage: a few hundred requests at once have as many.
"""

import gc

# Some 800 requests under way. What a flood of errors may leave lying about until then is 8 MB.
YOUNG = 50_000


def relax() -> None:
    """Have it look more seldom, and never again at what is there by now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
