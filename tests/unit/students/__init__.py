"""See the package of the same name in quart_app."""
