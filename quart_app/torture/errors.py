"""What keeps torture from beginning."""


class CannotHave(Exception):  # noqa: N818 - as the local server's
    """The server that was asked for cannot be had; the text says what to do."""
