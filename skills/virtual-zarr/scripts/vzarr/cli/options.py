"""What the options of all commands have in common: how they are taken, and what they mean."""

from __future__ import annotations

import argparse
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from vzarr.errors import InputError
from vzarr.limits import describe_limits, parse_limit
from vzarr.text import printable

if TYPE_CHECKING:
    from vzarr.sources.schemes import Access

Commands = Any
"""What ``argparse`` gives to add a command to; it has no public type."""


class Parser(argparse.ArgumentParser):
    """Takes options by their whole name, with a value, once; says in one sentence what is wrong.

    An abbreviation would make ``--skip`` of build into ``--skip-bad``, and an empty value is that
    of a variable that is not set.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)
        self.register("action", None, Once)
        self.register("type", None, not_empty)

    def format_help(self) -> str:
        """The help, with the limits where it names them."""
        return super().format_help().replace("{limits}", "\n".join(describe_limits()))

    def add_command_help(self, description: str, *examples: str) -> None:
        """Say what a command does, and below its options how it is called."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self.description = textwrap.fill(description, 78)
        lines = (f"  virtual_zarr.py {example}" for example in examples)
        self.epilog = "\n".join(["examples:", *lines, ""])

    def error(self, message: str) -> NoReturn:
        """End with status 2 and one sentence."""
        self.exit(2, f"virtual_zarr.py: {printable(message)}. See {self.prog} --help.\n")


class Once(argparse.Action):
    """Keep a value; refuse a second one, which would silently take the first one's place."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        given = namespace.__dict__.setdefault("given", [])
        if self.dest in given:
            raise argparse.ArgumentError(self, "given more than once")
        given.append(self.dest)
        setattr(namespace, self.dest, values)


def shared_options() -> Parser:
    """The options of every command."""
    parser = Parser(add_help=False)
    shared = parser.add_argument_group("output and limits")
    shared.add_argument("--json", action="store_true", help="print the result as JSON")
    shared.add_argument("--quiet", action="store_true", help="no progress on stderr")
    shared.add_argument(
        "--limit",
        action="append",
        type=limit,
        default=[],
        metavar="NAME=VALUE",
        help="raise a limit on what a file may declare; virtual_zarr.py --help lists them",
    )
    return parser


def remote_options() -> Parser:
    """The options of commands that read sources."""
    parser = Parser(add_help=False)
    remote = parser.add_argument_group("places and credentials")
    remote.add_argument(
        "--anonymous", action="store_true", help="the sources are public: send no credentials"
    )
    remote.add_argument("--account", help="Azure account (default: AZURE_STORAGE_ACCOUNT_NAME)")
    remote.add_argument(
        "--region", help="AWS region of the buckets (default: AWS_REGION, else us-east-1)"
    )
    remote.add_argument(
        "--endpoint",
        metavar="URL",
        help="URL of an S3-compatible server (default: AWS_ENDPOINT_URL)",
    )
    remote.add_argument(
        "--profile", help="profile of ~/.aws, also one that assumes a role (default: AWS_PROFILE)"
    )
    remote.add_argument(
        "--auth",
        metavar="SERVICE",
        help="service that gives credentials for the files: planetary-computer, or "
        "earthdata:URL of the archive's s3credentials",
    )
    remote.add_argument(
        "--repo-endpoint", metavar="URL", help="server of the repository, if it is another one"
    )
    for name in ("region", "account", "profile"):
        remote.add_argument(
            f"--repo-{name}",
            metavar=name.upper(),
            help=f"{name} of the repository, if it is another one",
        )
    remote.add_argument(
        "--repo-anonymous",
        action="store_true",
        help="the repository is public and only read: send no credentials",
    )
    remote.add_argument(
        "--retries", type=number, help="how often a failed request is repeated (default: 10)"
    )
    remote.add_argument(
        "--timeout", type=positive, metavar="SECONDS", help="of one request (default: 30)"
    )
    remote.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PREFIX",
        help="another place that may be read, with credentials; the repository remembers it",
    )
    return parser


def not_empty(text: str) -> str:
    """A text, as it is.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    if not text:
        raise argparse.ArgumentTypeError("its value is empty")
    return text


def positive(text: str) -> int:
    """A number of at least 1.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a number of at least 1")
    return number


def number(text: str) -> int:
    """A number from 0 on.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def moment(text: str) -> datetime:
    """A time of the ISO form; in UTC where it names no zone.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time, as 2024-05-31T12:00 is") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def share_of_step(text: str) -> float:
    """A share of the step of a grid.

    Raises
    ------
    argparse.ArgumentTypeError
        For what is no number, or half of a step or more.
    """
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 0.5, as 0.001")
    return number


def number_of_bytes(text: str) -> int:
    """A number of bytes, of a text like ``500MB``.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    from vzarr.combine.copied import parse_bytes

    try:
        return parse_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def limit(text: str) -> tuple[str, int]:
    """Name and value of a limit.

    Raises
    ------
    argparse.ArgumentTypeError
        For any other text.
    """
    try:
        return parse_limit(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_repository(command: argparse.ArgumentParser) -> None:
    """Take the repository as the command's only word, or as ``--repo``, as other commands do."""
    where = command.add_mutually_exclusive_group(required=True)
    where.add_argument(
        "repo",
        nargs="?",
        default=argparse.SUPPRESS,
        metavar="REPO",
        help="path or URL of the repository",
    )
    where.add_argument("--repo", dest="repo", help="the same")


def add_message(command: argparse.ArgumentParser) -> None:
    """Add the option of this name."""
    command.add_argument("--message", help="message of the commit")


def add_allow_copy(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    command.add_argument(
        "--allow-copy",
        type=number_of_bytes,
        metavar="BYTES",
        help="how much of what cannot be virtual may be copied, as 500MB "
        "(default: 10MB, or half of all)",
    )


def add_irregular(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    command.add_argument(
        "--irregular",
        choices=("rectilinear", "copy", "decode", "groups", "refuse"),
        help="what to do where files store a variable in several forms, or chunks fit no regular "
        "grid: rectilinear (chunks of unequal length; readers need zarr 3.2 and a flag), copy "
        "(native chunks; every reader opens them), decode (unpacked values, where each file packs "
        "them differently), groups (a group for each kind of files), or refuse "
        "(default: ask, where more than 5 %% would be copied)",
    )


def add_packing(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    command.add_argument(
        "--packing",
        choices=("raw",),
        help="keep packed integers virtual where each file packs them differently; readers unpack "
        "them by NAME_scale_factor and NAME_add_offset, which lie along the records",
    )


def add_overlap(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    command.add_argument(
        "--overlap",
        choices=("first", "last"),
        help="where the first steps of a file repeat the last steps of the file before: take them "
        "from the first file that has them, or from the last (default: refuse)",
    )


def add_coordinates(command: argparse.ArgumentParser, formats: bool = True) -> None:
    """Add the options of this name."""
    if formats:
        command.add_argument(
            "--coord",
            action="append",
            default=[],
            metavar="NAME=FORMAT",
            help="make a coordinate of the times in the files' names, as time=%%Y%%m",
        )
    command.add_argument(
        "--coord-table",
        metavar="FILE",
        help="take coordinates from a CSV file: a column named file, and one for each coordinate",
    )


def add_workers(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    where = command.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=positive, help="processes that parse files (default: as many as pay off)"
    )
    where.add_argument(
        "--dask",
        metavar="ADDRESS",
        help="parse on the workers of this Dask scheduler, as tcp://host:8786",
    )


def add_prefix(command: argparse.ArgumentParser) -> None:
    """Add the options of this name."""
    command.add_argument(
        "--prefix",
        action="append",
        default=[],
        metavar="URL",
        help="prefix of the sources that readers authorize "
        "(default: their common folder, above folders of dates)",
    )


def check_applies(option: str, given: bool, when: str) -> None:
    """Refuse an option that this call would ignore.

    Raises
    ------
    InputError
        If it is given.
    """
    if given:
        raise InputError(f"{option} has a meaning only {when}.")


def access_of(options: argparse.Namespace) -> Access:
    """How the options of a command say that remote objects are reached."""
    from vzarr.sources.schemes import Access

    return Access(
        anonymous=options.anonymous,
        region=options.region,
        account=options.account,
        endpoint=options.endpoint,
        repo_endpoint=options.repo_endpoint,
        profile=options.profile,
        repo_region=options.repo_region,
        repo_account=options.repo_account,
        repo_profile=options.repo_profile,
        repo_anonymous=options.repo_anonymous,
        auth=options.auth,
        retries=options.retries,
        timeout=options.timeout,
        trust=tuple(options.trust),
    )
