"""The hub's projects as their users' side sees them: what magics, the server extension and `regrow project` share."""
