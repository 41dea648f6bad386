"""How fast the program is, and compared with what the machine can do; see __main__.py."""
