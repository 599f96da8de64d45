"""The `regrow` command."""
