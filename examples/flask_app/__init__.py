"""Before: Flask and PyMySQL, one connection for ever."""
