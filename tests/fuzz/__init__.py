"""Inputs that nobody thought of: bytes for the packet reader, a lying server, requests for the API."""
