"""The scopes of tokens that the service asks for."""

from __future__ import annotations

#: What each action needs of a token, with JupyterHub's descriptions of custom scopes.
SCOPES = {
    "custom:regrow:projects:read": "See projects, and clone them",
    "custom:regrow:projects:write": "Create projects, take snapshots, push, and answer offers",
    "custom:regrow:projects:fork": "Fork projects, and offer changes to where they came from",
    "custom:regrow:projects:publish": "Decide who sees one's projects",
    "custom:regrow:projects:delete": "Delete one's projects",
    "custom:regrow:admin": "See and change everybody's projects",
}
READ, WRITE, FORK, PUBLISH, DELETE, ADMIN = SCOPES
