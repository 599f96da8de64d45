"""What each command on projects accepts, as data. A test holds docs/projects.md against it."""

from __future__ import annotations

from regrow.client.options import Option, Usage

_PATHS_HELP = "Only what is at or below these paths, as seen from the project's top folder."

LIST = Usage(
    magic="%project list",
    summary="List your projects, those that were changed last at the top.",
    words="[WORDS]",
    words_help="Only projects whose owner, name or description has all of these words.",
    options=(
        Option("--all", "", "Other people's projects that you can see, too."),
        Option("--deleted", "", "What is in your recycle bin."),
    ),
    example="%project list --all face recognition",
)

CREATE = Usage(
    magic="%project create",
    summary="Make a new project of yours, seen by nobody else.",
    words="NAME",
    words_help="Its name, and that of its folder. With --here it may be left out.",
    options=(
        Option("--template", "NAME", "Begin with the files of this template. Default: blank."),
        Option("--folder", "PATH", "Begin with a copy of this folder, history included."),
        Option("--git", "URL", "Begin with a clone of this repository."),
        Option("--here", "", "Make the repository NAME, or the one you are in, a project as it is."),
        Option("--description", "TEXT", "What it is about, in a line."),
    ),
    example='%project create faces --template training --description "Whose face is it?"',
)

OPEN = Usage(
    magic="%project open",
    summary="Show where a project's files are; fetch them from the hub if they are not in this server.",
    words="[OWNER/]NAME",
    words_help="The project.",
    options=(),
    example="%project open faces",
)

PUBLISH = Usage(
    magic="%project publish",
    summary="Decide who sees the project that you are in, and can fork it, as it is now.",
    words="[NOTEBOOKS]",
    words_help="With --state or --with-state: the notebooks whose variables are meant. Default: all of the project's.",
    options=(
        Option("--hub", "", "Everybody who can sign in to this hub. The default."),
        Option("--public", "", "Everybody who can reach this hub, also without signing in."),
        Option("--team", "GROUP", "The members of one of your groups."),
        Option("--private", "", "Nobody any more. Forks that were made stay."),
        Option("--state", "", "Publish nothing; list the variables that could go with it, and the code that says so."),
        Option("--with-state", "CODE", "Let the variables that --state has listed go with it."),
    ),
    example="%project publish --team vision",
)

SNAPSHOT = Usage(
    magic="%project snapshot",
    summary="Take a snapshot of the project that you are in, and send it to the hub.",
    words="[NAME]",
    words_help="A name for it, in quotes if it has spaces.",
    options=(),
    example='%project snapshot "before the rewrite"',
)

HISTORY = Usage(
    magic="%project history",
    summary="Draw the snapshots and commits of the project that you are in.",
    options=(),
    example="%project history",
)

DIFF = Usage(
    magic="%project diff",
    summary="Show what differs between two snapshots, or a snapshot and the files as they are now.",
    words="[SNAPSHOT [SNAPSHOT]]",
    words_help="By name, or by the beginning of an id. Default: the last one, and the files.",
    options=(Option("--", "PATHS...", _PATHS_HELP),),
    example='%project diff "before the rewrite" -- train.py',
)

RESTORE = Usage(
    magic="%project restore",
    summary="Bring files back as they are in a snapshot, after taking a snapshot of what is there.",
    words="SNAPSHOT",
    words_help="By name, or by the beginning of its id.",
    options=(Option("--", "PATHS...", _PATHS_HELP),),
    example='%project restore "before the rewrite" -- train.py data',
)

DELETE = Usage(
    magic="%project delete",
    summary="Put a project into the recycle bin, with its files.",
    words="[OWNER/]NAME",
    words_help="The project.",
    options=(),
    example="%project delete faces",
)

UNDELETE = Usage(
    magic="%project undelete",
    summary="Take a project out of the recycle bin, with its files.",
    words="NAME",
    words_help="The project, or its id if several in the recycle bin have one name.",
    options=(),
    example="%project undelete faces",
)

OFFERS = Usage(
    magic="%project offers",
    summary="List what forks offer to the project that you are in, and what it offers itself.",
    options=(),
    example="%project offers",
)

LINEAGE = Usage(
    magic="%project lineage",
    summary="Draw the forks that a project comes from, and those that were made of it.",
    words="[[OWNER/]NAME]",
    words_help="The project. Default: the one that you are in.",
    options=(),
    example="%project lineage ada/faces",
)

FORK = Usage(
    magic="%fork",
    summary="Make a project of your own that is what another one is; keep the two up to date with each other.",
    words="OWNER/NAME [as NAME]",
    words_help="The project to fork, and a name for the fork. Default: the same name.",
    options=(
        Option("--with-state", "", "Let its notebooks begin with the variables that were published with it."),
        Option("--status", "", "What has changed in the fork that you are in, and in its parent."),
        Option("--sync", "", "Merge what the parent has published since."),
        Option("--ours", "PATH", "Where both have changed this path, keep yours. May be repeated.", repeat=True),
        Option("--theirs", "PATH", "Where both have changed this path, take theirs. May be repeated.", repeat=True),
        Option("--offer", "MESSAGE", "Offer the fork as it is now to its parent."),
        Option("--review", "OFFER", "Show what an offer to the project that you are in would change."),
        Option("--accept", "OFFER", "Merge an offer into the files of the project that you are in."),
        Option("--decline", "OFFER", "Say no to an offer."),
        Option("--withdraw", "OFFER", "Take an offer of yours back."),
    ),
    example="%fork ada/faces as my-faces",
)

#: `%project`'s own, by what is typed.
PROJECT = {
    usage.magic.split()[1]: usage
    for usage in (
        LIST, CREATE, OPEN, PUBLISH, SNAPSHOT, HISTORY, DIFF, RESTORE, DELETE, UNDELETE, OFFERS, LINEAGE
    )
}  # fmt: skip

ALL = (*PROJECT.values(), FORK)
