"""`regrow token`: an API token of the hub, for a script or another machine."""

from __future__ import annotations

import asyncio
import sys

from traitlets import Integer, Unicode

from regrow.hub_config.client_app import HubClientApp, UsageError
from regrow.hub_config.hub_api import APIToken, HubAPI, HubAPIError


class TokenApp(HubClientApp):
    """Mint an API token that belongs to a user; only the token goes to stdout.

    Exit status 1 when the hub refuses, 2 for bad usage.
    """

    name = "regrow token"
    description = (
        "Mint an API token that belongs to a user. Only the token goes to stdout, so that it can be piped "
        "into a file or another command; its scopes and its expiry go to stderr."
    )
    examples = """
    regrow token alice --expires-in-s=3600 > token        # all that alice can do, for an hour
    regrow token alice --scopes='access:servers!user'     # reach alice's servers and nothing else
    """

    scopes = Unicode(
        help="""What the token may do: scopes, separated by commas. Default: all that the user can. See
        https://jupyterhub.readthedocs.io/en/stable/rbac/scopes.html for the list."""
    ).tag(config=True)
    expires_in_s = Integer(0, min=0, help="Seconds until the token expires. Default: as long as the hub allows.").tag(
        config=True
    )
    note = Unicode("made by `regrow token`", help="What it is for; shown on the user's token page.").tag(config=True)

    aliases = {
        **HubClientApp.aliases,
        "scopes": "TokenApp.scopes",
        "expires-in-s": "TokenApp.expires_in_s",
        "note": "TokenApp.note",
    }

    def initialize(self, argv: list[str] | None = None) -> None:
        super().initialize(argv)
        if len(self.extra_args) != 1:
            self.fail("Name one user: `regrow token USER`. See `regrow token --help`.", 2)

    def start(self) -> None:
        """Mint and print it; ends the process with the exit status."""
        try:
            hub = HubAPI(self.url, self.read_token())
        except (UsageError, HubAPIError) as error:
            self.fail(str(error), 2)
        user = self.extra_args[0]
        try:
            token = asyncio.run(self._mint(hub, user))
        except HubAPIError as error:
            self.fail(str(error), 1)
        except KeyboardInterrupt:
            sys.exit(130)
        print(f"scopes: {', '.join(sorted(token.scopes)) or 'none'}", file=sys.stderr)
        print(f"expires: {token.expires_at or 'never'}", file=sys.stderr)
        print(token.token)

    async def _mint(self, hub: HubAPI, user: str) -> APIToken:
        scopes = [scope.strip() for scope in self.scopes.split(",") if scope.strip()]
        async with hub:
            # The hub says "not found or no permissions" for both; this tells them apart.
            try:
                await hub.user_model(user)
            except HubAPIError as error:
                if error.status == 404:
                    raise HubAPIError(f"The hub has no user {user}. No token was made.", 404) from error
                raise
            return await hub.mint_token(user, scopes or None, self.expires_in_s or None, self.note)
