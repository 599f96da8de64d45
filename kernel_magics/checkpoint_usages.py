"""What `%checkpoint` and `%%nosave` accept, as data. A test holds docs/state.md against it."""

from __future__ import annotations

from regrow.client.options import Option, Usage

_WHEN = "An id, -1 for the one before the last, 5m, 2h or 1d ago, or In[7] for as it was after that cell."

SAVE = Usage(
    magic="%checkpoint save",
    summary="Save the variables of this kernel now. `%checkpoint` alone does the same.",
    options=(),
    example="%checkpoint save",
)

LIST = Usage(
    magic="%checkpoint list",
    summary="List the checkpoints of this notebook, and what has changed in each.",
    options=(),
    example="%checkpoint list",
)

SHOW = Usage(
    magic="%checkpoint show",
    summary="Show what a checkpoint has: each variable's type, size and cell; and what it has not, and why.",
    words="[WHEN]",
    words_help=f"{_WHEN} Default: the last one.",
    options=(),
    example="%checkpoint show -1",
)

RESTORE = Usage(
    magic="%checkpoint restore",
    summary="Make this kernel what it was at a checkpoint, after saving what it is now.",
    words="[WHEN]",
    words_help=f"{_WHEN} Default: the last one.",
    options=(Option("--eager", "", "Load all values now, not each when a cell needs it."),),
    example="%checkpoint restore In[7]",
)

RERUN = Usage(
    magic="%checkpoint rerun",
    summary="Run the cells that make what could not be kept, and only those.",
    words="[NAMES]",
    words_help="Variables. Default: all that are missing.",
    options=(),
    example="%checkpoint rerun connection",
)

EXCLUDE = Usage(
    magic="%checkpoint exclude",
    summary="Keep variables out of checkpoints from now on. List those that are, where none is named.",
    words="[NAMES]",
    words_help="Variables of this kernel.",
    options=(),
    example="%checkpoint exclude scratch",
)

INCLUDE = Usage(
    magic="%checkpoint include",
    summary="Keep variables that were excluded again.",
    words="NAMES",
    words_help="Variables that were excluded.",
    options=(),
    example="%checkpoint include scratch",
)

DELETE = Usage(
    magic="%checkpoint delete",
    summary="Delete a checkpoint of this notebook, or all that there are by now.",
    words="[WHEN]",
    words_help=_WHEN,
    options=(Option("--all", "", "All of them."),),
    example="%checkpoint delete 1h",
)

TRUST = Usage(
    magic="%checkpoint trust",
    summary="Let variables that come with forks of somebody's projects be loaded. Alone: list who is trusted.",
    words="[OWNER]",
    words_help="A user of this hub. Loading what somebody has made runs code of theirs as you.",
    options=(),
    example="%checkpoint trust ada",
)

UNTRUST = Usage(
    magic="%checkpoint untrust",
    summary="Load no variables that came with somebody's projects from now on.",
    words="OWNER",
    words_help="Somebody who is trusted.",
    options=(),
    example="%checkpoint untrust ada",
)

NOSAVE = Usage(
    magic="%%nosave",
    summary="Run the cell, and keep what it binds out of checkpoints, until another cell binds it.",
    options=(),
    example='%%nosave\npassword = getpass.getpass("Password: ")',
)

#: `%checkpoint`'s own, by what is typed.
CHECKPOINT = {
    usage.magic.split()[1]: usage
    for usage in (SAVE, LIST, SHOW, RESTORE, RERUN, EXCLUDE, INCLUDE, DELETE, TRUST, UNTRUST)
}
