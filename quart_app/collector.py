"""The garbage collector, told what a server is like.

Requests and connections that end are put away by reference counts; only errors leave it something to
find. Left to itself it looks at all that is young after every 700 objects (2,000 from Python 3.12 on)
that are not gone yet, as if they were garbage: a few hundred requests at once have as many.
"""

import gc

# What some 150 requests under way have. Five times as many saved no more, and let garbage lie about.
YOUNG = 10_000


def relax() -> None:
    """Have it look more seldom, and never again at what is there by now."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
