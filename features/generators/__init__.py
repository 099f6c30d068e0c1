"""Local models that write texts and draw photos for synthetic posts."""
