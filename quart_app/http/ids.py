"""Ids in addresses: ``/cities/<id:city_id>``."""

from werkzeug.routing import IntegerConverter


class IdConverter(IntegerConverter):
    """At most ten digits: more would be no id of ours, and thousands are an error to ``int()``."""

    DIGITS = 10
    regex = f"[0-9]{{1,{DIGITS}}}"
