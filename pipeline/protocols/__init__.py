"""Who trains and who tests: official split sets, settings and drawn splits."""
