"""Kerchunk references from JSON or Parquet, with absolute URLs."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vzarr.errors import InputError
from vzarr.formats.zarr import declared
from vzarr.limits import Declared, check_number, limit
from vzarr.sources.content import Content
from vzarr.sources.discover import look_up_all
from vzarr.sources.schemes import Access, as_url, refuse_secrets, without_secrets
from vzarr.sources.trust import folder_of, is_below, options_for, places_of
from vzarr.upstream.zarr import ArrayV2Metadata, ArrayV3Metadata

LONGEST_URL = 16_384
"""Characters; servers take 8,000 or less."""


TOO_DEEP = "JSON nested deeper than anything that Kerchunk writes: make the references anew."


DAMAGED = (
    "neither text nor a URL, alone or with an offset and a length in bytes: make the references "
    "anew."
)


References = dict[str, Any]
"""Key to text, or to ``[url, offset, length]`` or ``[url]``."""


@dataclass(frozen=True)
class Divided:
    """References by what they belong to: of each array by its path, with its metadata; the rest."""

    by_array: dict[str, References]
    of_groups: References


def divide_references(content: Content) -> Divided:
    """The references of each array, and those of groups.

    Raises
    ------
    InputError
        For references that are damaged, or that lead where nothing may be read.
    """
    return content.once(_divide)


def _divide(content: Content) -> Divided:
    references = load_references(content)
    by_array: dict[str, References] = {
        key.rpartition("/")[0]: {}
        for key in references
        if last_part(key) == ".zarray"
        or (last_part(key) == "zarr.json" and is_array(content, key.rpartition("/")[0]))
    }
    rest: References = {}
    for key, reference in references.items():
        parts = key.split("/")
        owners = ("/".join(parts[:length]) for length in range(1, len(parts)))
        owner = next((path for path in owners if path in by_array), None)
        (rest if owner is None else by_array[owner])[key] = reference
    return Divided(by_array, rest)


def arrays_in(content: Content, group: str) -> list[Declared]:
    """What the metadata of the arrays of one group say.

    Raises
    ------
    InputError
        For metadata that cannot be read.
    """
    arrays = []
    for path, own in divide_references(content).by_array.items():
        if path.rpartition("/")[0] == group:
            chunks = sum(1 for key in own if last_part(key)[0] not in ".z")
            arrays.append(replace(read_metadata(content, path, own), stored=chunks))
    return arrays


def read_metadata(content: Content, path: str, references: References) -> Declared:
    """What the metadata of one array say.

    Raises
    ------
    InputError
        If they cannot be read.
    """

    def read(name: str) -> dict[str, Any]:
        return json.loads(as_text(references.get(f"{path}/{name}", "{}")))

    metadata: ArrayV2Metadata | ArrayV3Metadata
    try:
        if f"{path}/.zarray" in references:
            metadata = ArrayV2Metadata.from_dict(read(".zarray"))
        else:
            metadata = ArrayV3Metadata.from_dict(read("zarr.json"))
        return declared(path, metadata, read(".zattrs"))
    except RecursionError:
        raise InputError(f"{content.url}: {TOO_DEEP}") from None
    except Exception as error:
        raise InputError(
            f"{content.url}: the metadata of {path} cannot be read ({error}): make the references "
            "anew."
        ) from error


def last_part(key: str) -> str:
    """A key without the path of its array or group."""
    return key.rpartition("/")[2]


def is_array(content: Content, path: str) -> bool:
    """Whether the metadata at a path are those of an array."""
    references = load_references(content)
    if f"{path}/.zarray" in references:
        return True
    return _load_json(content, as_text(references[f"{path}/zarr.json"])).get("node_type") == "array"


def load_references(content: Content) -> References:
    """All references, with absolute URLs and without templates.

    Raises
    ------
    InputError
        For references that are damaged, or that lead where nothing may be read.
    """
    return content.once(_load)


def _load(content: Content) -> References:
    load = _from_parquet if content.is_folder else _from_json
    loaded, has_moved = load(content)
    # VirtualiZarr 2.8 names the one chunk of a scalar "name/", which nothing reads back.
    references = {f"{key}0" if key.endswith("/") else key: ref for key, ref in loaded.items()}
    _check_targets(content, references, has_moved)
    return references


def _load_json(content: Content, text: bytes) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except RecursionError:
        raise InputError(f"{content.url}: {TOO_DEEP}") from None
    if not isinstance(loaded, dict):
        raise InputError(f"{content.url}: JSON of Kerchunk that is no object: make it anew.")
    return loaded


def _from_json(content: Content) -> tuple[References, bool]:
    """The references, and whether one of them leads to what has moved."""
    whole = _load_json(content, content.read())
    references = whole.get("refs", whole)
    if whole.get("gen"):
        raise InputError(
            f"{content.url}: Kerchunk references with gen, which no parser here expands; "
            "save them expanded (fsspec's ReferenceFileSystem.save_json)."
        )
    templates = whole.get("templates") or {}
    if not isinstance(references, dict) or not isinstance(templates, dict):
        raise InputError(f"{content.url}: refs or templates that are no objects: make it anew.")
    resolver = _Resolver(content, _expander(content, templates))
    resolved = {key: resolver.resolve(key, reference) for key, reference in references.items()}
    return resolved, resolver.has_moved


def _expander(content: Content, templates: dict[str, Any]) -> Callable[[str], str]:
    """What replaces templates in a URL, each of which may hold the ones that follow it.

    Sizes are counted before anything is put together: each template can double the text.
    """
    known: dict[str, str] = {}
    spent = 0
    forms = [
        (form, str(value))
        for name, value in templates.items()
        for form in ("{{" + name + "}}", "{{ " + name + " }}")
    ]

    def expand(url: str) -> str:
        nonlocal spent
        if "{{" not in url:
            return url
        if url not in known:
            text = url
            for form, value in forms:
                times = text.count(form)
                length = len(text) + times * (len(value) - len(form))
                if length > LONGEST_URL:
                    raise InputError(
                        f"{content.url}: templates expand to a URL of {length:,} characters, more "
                        f"than the {LONGEST_URL:,} that any server takes: make the references anew."
                    )
                spent += length * bool(times)
                check_number(content.url, "expansion", spent, "bytes that its templates expand to:")
                text = text.replace(form, value)
            if "{{" in text:
                raise InputError(f"{content.url}: a template that is not defined: {text}.")
            known[url] = text
        return known[url]

    return expand


def _from_parquet(content: Content) -> tuple[References, bool]:
    """As ``_from_json``."""
    from vzarr.upstream.fsspec import ParquetReferences

    if not isinstance(content.handle, Path):
        raise InputError(
            f"{content.url}: Kerchunk Parquet is read from local folders only: copy it here."
        )
    consolidated = _load_json(content, content.member(".zmetadata"))
    metadata, rows = consolidated.get("metadata"), consolidated.get("record_size")
    if not isinstance(metadata, dict) or not isinstance(rows, int) or rows < 1:
        raise InputError(f"{content.url}: its .zmetadata is not of Kerchunk: make it anew.")
    stored = ParquetReferences(content.handle)
    resolver = _Resolver(content, _expander(content, {}))
    resolved = {key: resolver.resolve(key, value) for key, value in stored.metadata.items()}
    for path in [key.rpartition("/")[0] for key in resolved if last_part(key) == ".zarray"]:
        array = read_metadata(content, path, resolved)
        if array.chunks > limit("chunks"):
            continue  # is refused when it is wanted
        for record in range(-(-array.chunks // rows)):
            _check_rows(content, content.handle, f"{path}/refs.{record}.parq", rows)
        for key, reference in stored.chunks(path):
            resolved[key] = resolver.resolve(key, reference)
    return resolved, resolver.has_moved


def _check_rows(content: Content, folder: Path, name: str, most: int) -> None:
    """A few bytes of Parquet can hold a billion equal rows, and the whole of it is read at once."""
    import fastparquet

    file = folder / name
    if not file.exists():
        return
    rows = fastparquet.ParquetFile(str(file)).count()
    if rows > most:
        raise InputError(
            f"{content.url}: {name} has {rows:,} rows, more than the {most:,} that its "
            ".zmetadata say: make the references anew."
        )


class _Resolver:
    """Makes what references say into text, or into an absolute URL with whole numbers."""

    def __init__(self, content: Content, expand: Callable[[str], str]) -> None:
        self._content, self._expand = content, expand
        self._urls: dict[str, str] = {}
        self.has_moved = False

    def resolve(self, key: str, reference: Any) -> str | list[Any]:
        """One reference.

        Raises
        ------
        InputError
            For what is neither text nor a place.
        """
        if isinstance(reference, dict):
            return json.dumps(reference)
        if isinstance(reference, bytes):
            return reference.decode("latin-1") if reference.isascii() else _base64(reference)
        if isinstance(reference, str):
            return reference
        damaged = InputError(f"{self._content.url}: {key}: {DAMAGED}")
        if not isinstance(reference, list | tuple) or len(reference) not in (1, 3):
            raise damaged
        url, *numbers = reference
        span = [int(number) for number in numbers if _is_place(number)]
        if not isinstance(url, str) or len(span) < len(numbers):
            raise damaged
        return [self._place(url), *span]

    def _place(self, url: str) -> str:
        url = self._expand(url)
        refuse_secrets(url)
        place = _moved(self._content.access, url)
        if place is None:
            if "://" not in url and not url.startswith("/"):
                url = f"{self._content.url.rpartition('/')[0]}/{url}"
            if url not in self._urls:  # resolving a path asks the file system for each folder
                self._urls[url] = as_url(url)
            url = self._urls[url]
            place = _moved(self._content.access, url)
        if place is not None:
            self.has_moved = True
        return place or url


def _is_place(number: Any) -> bool:
    """Whether a number counts bytes; Parquet has whole ones as floats where some are missing."""
    if isinstance(number, bool | np.bool_) or not isinstance(number, int | float | np.number):
        return False
    return bool(0 <= number <= np.iinfo(np.int64).max and number == int(number))


def _moved(access: Access, url: str) -> str | None:
    """Where a reference leads now, if what it begins with has moved."""
    if access.moved is None:
        return None
    old, new = access.moved
    for prefix in {old, as_url(old) if "://" not in old else old}:
        if url.startswith(prefix.rstrip("/") + "/"):
            return as_url(new).rstrip("/") + url[len(prefix.rstrip("/")) :]
    return None


def _base64(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode()


def _check_targets(content: Content, references: References, has_moved: bool) -> None:
    """Every file must be named, be there, and be long enough for what is wanted of it."""
    needed: dict[str, int] = {}
    for reference in references.values():
        if isinstance(reference, list):
            url, *span = reference
            needed[url] = max(sum(span), needed.get(url, 0))
    folders = (folder_of(content.url), *content.access.trust)
    if strange := [url for url in needed if not is_below(url, folders, resolve=True)]:
        places = places_of(sorted(strange))
        raise InputError(
            f"{content.url}: its references lead to {without_secrets(strange[0])}, which is below "
            f"no folder that was named: if they are right, add {options_for(places)}."
        )
    total = 0
    for url, state in look_up_all(sorted(needed), content.access).items():
        if isinstance(state, Exception):
            raise InputError(
                f"{content.url}: its references lead to {url}, which cannot be read "
                f"({type(state).__name__}): put the data there, or correct the paths (migrate "
                "takes --from and --to)."
            ) from state
        if state.size < needed[url]:
            raise InputError(
                f"{content.url}: its references need {needed[url]} bytes of {url}, which has "
                f"{state.size}: it is not the file that they were made of; make them anew."
            )
        total += state.size
    content.findings.referred, content.findings.referred_bytes = frozenset(needed), total
    old = (content.access.moved or ("",))[0]
    if old and not has_moved:
        first = next(iter(needed), "nothing")
        raise InputError(f"{content.url}: no reference begins with {old}; one leads to {first}.")


def as_text(value: Any) -> bytes:
    """The bytes that a reference holds itself."""
    if isinstance(value, str) and value.startswith("base64:"):
        return base64.b64decode(value[7:])
    return value.encode() if isinstance(value, str) else bytes(value)
