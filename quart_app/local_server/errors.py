"""What can go wrong with a private server, each with what to do about it in its message.

LocalServerError
+-- NoServerBinary   no mariadbd or mysqld was found
+-- FolderInUse      another program owns this data folder now
+-- StartFailed      the server, or the making of its data, ended early or took too long
"""


class LocalServerError(RuntimeError):
    """The private server can't do what was asked."""


class NoServerBinary(LocalServerError):  # noqa: N818 - says what is missing
    """No server program was found on this machine."""


class FolderInUse(LocalServerError):  # noqa: N818 - says what is so
    """Another living program owns the data folder."""


class StartFailed(LocalServerError):  # noqa: N818 - says what happened
    """The server did not come up; the message ends with the end of its log."""
