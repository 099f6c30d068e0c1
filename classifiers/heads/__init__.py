"""The heads, one family a file, and the registry that names them."""
