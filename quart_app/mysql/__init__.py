"""THE ENGINE: a pool of aiomysql connections. Knows no Quart, no settings, no domain."""
