"""Stage two: heads trained on cached views, and the runs that are left of it."""
