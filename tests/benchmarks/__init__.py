"""How fast, and what share of what the machine can do; see __main__.py."""
