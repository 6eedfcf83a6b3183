"""What http/security.py promises of every answer."""

from quart import Response


def assert_protected(response: Response, *, at: str) -> None:
    """Fail unless *response* carries the headers, each once; *at* says whose answer it is."""
    headers = response.headers
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"], at
    (policy,) = headers.getlist("Content-Security-Policy")
    assert policy.startswith("default-src 'none'"), at
    assert "frame-ancestors 'none'" in policy, at
    assert "unsafe" not in policy, at
    assert "http" not in policy, at
    is_page = response.mimetype == "text/html"
    assert ("Referrer-Policy" in headers) is is_page, at
    assert ("script-src 'self'" in policy) is is_page, at
    assert "Server" not in headers, at
