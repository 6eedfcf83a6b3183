"""Why does my connection go away, and what do I set? Facts, rules and print, each by itself."""
