"""What every test gets: the fixtures that `quart_app.testing` offers to others, too."""

pytest_plugins = ["quart_app.testing", "pytester"]
