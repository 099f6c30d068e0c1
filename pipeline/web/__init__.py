"""Speaking with servers, which may be slow, broken or hostile: bounded in time and size, whatever they do."""
