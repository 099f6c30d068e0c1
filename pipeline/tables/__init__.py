"""Tables of the sources: each declared as data, rebuilt from the cache by one engine."""
