"""Stage one: from a worklist of posts to the parts of a cache file."""
