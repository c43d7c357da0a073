"""A store, or files before a build, as one page of HTML."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vzarr.api.arguments import AMBIENT, Files, listed
from vzarr.commands.inspect import inspect_files
from vzarr.commands.log import read_log
from vzarr.commands.show import show as show_repository
from vzarr.commands.verify import verify_repository
from vzarr.progress import Progress, silent
from vzarr.sources.schemes import Access

if TYPE_CHECKING:
    from vzarr.commands.report import Reported


def report(
    what: Files,
    out: str | os.PathLike[str],
    *,
    verify: bool = False,
    concat_dim: str | None = None,
    access: Access = AMBIENT,
    progress: Progress = silent,
) -> Reported:
    """Write a page of a repository, or of files as ``inspect`` reads them.

    ``verify`` compares a repository with a sample of its sources first; ``passed`` of the result
    says how that went.
    """
    # Jinja2, which only pages need: an environment for stores may lack it.
    from vzarr.commands.report import check_out, is_repository, write_page
    from vzarr.reports.files import report_files
    from vzarr.reports.store import report_store

    check_out(out)
    places = listed(what)
    if len(places) > 1 or not is_repository(places[0], access):
        inspected = inspect_files(
            places, access, concat_dim=concat_dim, progress=progress("inspected")
        )
        return write_page(report_files(inspected), out)
    location = places[0]
    shown, commits = show_repository(location, access), read_log(location, access)
    verified = None
    if verify:
        verified = verify_repository(location, access, progress=progress("compared"))
    page = report_store(location, access, shown, commits, verified)
    return write_page(page, out, None if verified is None else verified.passed)
