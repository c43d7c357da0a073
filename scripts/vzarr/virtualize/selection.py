"""Which groups and variables of a file are taken."""

from __future__ import annotations

from vzarr.errors import InputError, Refused
from vzarr.sources.content import Content
from vzarr.text import drop_options


def without_dropped(unfit: dict[str, str], drop: tuple[str, ...]) -> dict[str, str]:
    """Paths and reasons, without what ``--drop`` leaves out."""
    return {
        path: reason
        for path, reason in unfit.items()
        if path.rpartition("/")[2] not in drop
        and not any(_is_within(path, name.strip("/")) for name in drop)
    }


def nothing_in(content: Content, drop: tuple[str, ...] = ()) -> str:
    """The sentence for a file without a variable, and what is in it instead."""
    if drop:
        return f"{content.url}: holds no variables any more: drop less."
    what = content.findings.instead or "nothing in it is an array with values"
    return f"{content.url}: holds no variables: {what}; leave it out."


def choose_groups(
    url: str, available: list[str], wanted: tuple[str, ...], drop: tuple[str, ...]
) -> list[str]:
    """Groups in or below one of ``wanted`` (all without any), without those that are dropped.

    Raises
    ------
    InputError
        If the file has none of ``wanted``.
    """
    wanted = tuple(group.strip("/") for group in wanted)
    chosen = [
        group
        for group in available
        if not wanted or any(_is_within(group, place) for place in wanted)
    ]
    if not chosen:
        listed = ", ".join(group for group in available[:8] if group) or "none"
        raise InputError(f"{url}: has no group {wanted[0]}; its groups: {listed}.")
    return [group for group in chosen if not any(_is_within(group, name) for name in drop if group)]


def _is_within(group: str, place: str) -> bool:
    return group == place or not place or group.startswith(f"{place}/")


def refusal(url: str, unfit: dict[str, str]) -> Refused:
    """One sentence for all variables that can be neither virtual nor copied."""
    options = drop_options(unfit)
    if len(unfit) == 1:
        ((path, reason),) = unfit.items()
        return Refused(f"{url}: {path} {reason}. Leave it out with {options}.")
    reasons = "; ".join(f"{path} {reason}" for path, reason in list(unfit.items())[:3])
    more = f"; and {len(unfit) - 3} more" if len(unfit) > 3 else ""
    return Refused(f"{url}: {reasons}{more}. Leave them out with {options}.")
