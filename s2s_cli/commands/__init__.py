"""One module a command: it composes the stages and yields what happened."""
