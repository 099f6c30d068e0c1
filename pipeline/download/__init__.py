"""Fetching the photos that a table names by address: only when asked, politely, and never half of one."""
