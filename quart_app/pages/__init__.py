"""Pages for people: the landing page, the API's documentation, what each problem means."""
