"""What the tutorial builds: a Flask app with the bug, and the same app without it."""
