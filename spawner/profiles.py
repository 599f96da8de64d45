"""Profiles: what a user can ask for on the spawn page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader

from regrow.spawner.errors import BadOptions

_GIB = 1024**3


class ProfileError(ValueError):
    """A profile in the configuration that makes no sense; the message names it and the field."""


@dataclass(frozen=True)
class Profile:
    """One choice on the spawn page.

    `cpus` are cores (fractions allowed), `memory_bytes` bytes, `gpus` whole devices; 0 means no limit for the first
    two and none for the third. `groups` restricts the profile to members of those JupyterHub groups.
    """

    slug: str
    name: str
    description: str = ""
    image: str = "regrow/notebook:cpu"
    cpus: float = 0
    memory_bytes: int = 0
    gpus: int = 0
    groups: tuple[str, ...] = ()

    @property
    def resources(self) -> str:
        """The limits in words, such as `4 CPUs, 16 GiB, 1 GPU`."""
        words = []
        if self.cpus:
            words.append(f"{self.cpus:g} CPU{'s' if self.cpus != 1 else ''}")
        if self.memory_bytes:
            words.append(f"{self.memory_bytes / _GIB:.3g} GiB")
        if self.gpus:
            words.append(f"{self.gpus} GPU{'s' if self.gpus != 1 else ''}")
        return ", ".join(words) or "no limits"


def parse_profiles(configured: Sequence[Mapping[str, Any]]) -> list[Profile]:
    """The profiles of the configuration. Raises `ProfileError` for the first that is wrong."""
    profiles = [_parse(entry) for entry in configured]
    if not profiles:
        raise ProfileError("Regrow.profiles is empty: name at least one profile.")
    slugs = [profile.slug for profile in profiles]
    for slug in slugs:
        if slugs.count(slug) > 1:
            raise ProfileError(f"Regrow.profiles has two profiles with the slug {slug!r}.")
    return profiles


def offered(profiles: Sequence[Profile], user_groups: set[str]) -> list[Profile]:
    """Those of `profiles` that a member of `user_groups` may start."""
    return [profile for profile in profiles if not profile.groups or user_groups & set(profile.groups)]


def choose(profiles: Sequence[Profile], options: Mapping[str, Any]) -> tuple[Profile, bool]:
    """The profile that `options` (from the form or the REST API) ask for, and whether for a new container.

    Without `profile` it is the first one. `anew` is true, or `yes` as the form sends it.

    Raises `BadOptions` for anything that is not on offer: the form is only a suggestion, this is the check.
    """
    unknown = sorted(set(options) - {"profile", "anew"})
    if unknown:
        raise BadOptions(f"Unknown option {unknown[0]!r}. A server is started with the options profile and anew.")
    anew = options.get("anew", False)
    if anew not in (True, False, "yes"):
        raise BadOptions(f"The option anew is true or false, not {anew!r}.")
    if not profiles:
        raise BadOptions("No profile is open to you. Ask an administrator to add you to a group that has one.")
    slug = options.get("profile", profiles[0].slug)
    for profile in profiles:
        if profile.slug == slug:
            return profile, bool(anew)
    choices = ", ".join(profile.slug for profile in profiles)
    raise BadOptions(f"There is no profile {slug!r} for you. Choose one of: {choices}.")


def options_from_form(form: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the spawn page sent, as options. Raises `BadOptions` when a field was sent twice."""
    for field, values in form.items():
        if len(values) != 1:
            raise BadOptions(f"The form sent {len(values)} values for {field!r}. Choose one.")
    return {field: values[0] for field, values in form.items()}


def render_form(
    profiles: Sequence[Profile], chosen: str | None, note: str = "", *, can_be_made_anew: bool = False
) -> str:
    """The spawn page's form: one card per profile, the last choice selected."""
    if chosen not in {profile.slug for profile in profiles}:
        chosen = profiles[0].slug if profiles else None
    html: str = _template().render(profiles=profiles, chosen=chosen, note=note, can_be_made_anew=can_be_made_anew)
    return html


@cache
def _template() -> Any:
    return Environment(loader=PackageLoader("regrow.spawner", "."), autoescape=True).get_template("spawn_form.html")


def _parse(entry: Mapping[str, Any]) -> Profile:
    fields = dict(entry)
    try:
        profile = Profile(**{**fields, "groups": tuple(fields.get("groups", ()))})
    except TypeError as error:
        raise ProfileError(f"Regrow.profiles: {fields.get('slug', fields)!r}: {error}.") from error
    if not isinstance(profile.slug, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]*", profile.slug):
        raise ProfileError(f"Regrow.profiles: the slug {profile.slug!r} must be lower-case letters, digits and dashes.")
    for field in ("name", "description", "image"):
        if not isinstance(getattr(profile, field), str):
            raise ProfileError(f"Regrow.profiles: {profile.slug}: {field} must be text.")
    for field, kind in (("cpus", (int, float)), ("memory_bytes", int), ("gpus", int)):
        value = getattr(profile, field)
        if isinstance(value, bool) or not isinstance(value, kind) or value < 0:
            raise ProfileError(f"Regrow.profiles: {profile.slug}: {field} is {value!r}, not a number of 0 or more.")
    return profile
