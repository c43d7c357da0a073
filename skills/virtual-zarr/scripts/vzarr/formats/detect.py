"""Which format a file is of, by its content and never by its name."""

from __future__ import annotations

import importlib

from vzarr.errors import InputError
from vzarr.formats.registry import FORMATS
from vzarr.sources.content import Content


def detect_format(content: Content) -> str:
    """A key of ``formats.FORMATS``, by the first bytes and never by the name.

    Raises
    ------
    InputError
        For what cannot be virtualized: it names what it is, and what to do.
    """
    if content.access.select:  # of messages
        return "grib"
    return content.once(sniff)


HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


_WHOLE = "a chunk must be a byte range of the file, so {} and build from the result"


_TABLE = "tables hold no arrays in chunks, so they cannot be virtualized"


_PICTURE = "there is no parser for it; convert it to a tiled GeoTIFF (gdal_translate -of COG)"


_REFUSED = [
    (b"\x1f\x8b", "compressed by gzip", _WHOLE.format("decompress it (gunzip)")),
    (b"BZh", "compressed by bzip2", _WHOLE.format("decompress it (bunzip2)")),
    (b"\xfd7zXZ\x00", "compressed by xz", _WHOLE.format("decompress it (unxz)")),
    (b"(\xb5/\xfd", "compressed by zstd", _WHOLE.format("decompress it (unzstd)")),
    (b"\x1f\x9d", "compressed by compress", _WHOLE.format("decompress it (uncompress)")),
    (b"\x04\x22\x4d\x18", "compressed by lz4", _WHOLE.format("decompress it (unlz4)")),
    (b"PK\x03\x04", "a zip archive", "unpack it and build from what is in it"),
    (b"PK\x05\x06", "an empty zip archive", "nothing is in it"),
    (b"Rar!", "a RAR archive", "unpack it and build from what is in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and build from what is in it"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 image", _PICTURE),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image", _PICTURE),
    (b"\xff\xd8\xff", "a JPEG image", _PICTURE),
    (b"\x89PNG", "a PNG image", _PICTURE),
    (b"GIF8", "a GIF image", _PICTURE),
    (b"%PDF", "a PDF document", "it holds no arrays"),
    (b"PAR1", "a Parquet file", _TABLE),
    (b"ARROW1", "an Arrow file", _TABLE),
    (b"SQLite format 3", "an SQLite database, as of GeoPackage", _TABLE),
    (b"\x00\x00\x27\x0a", "a shapefile", _TABLE),
    (b"\x93NUMPY", "a NumPy file", "there is no parser for it; write it as Zarr or NetCDF"),
    (b"MATLAB 5.0", "a MATLAB 5 file", "save it in MATLAB as -v7.3, which is HDF5"),
    (b"BUFR", "a BUFR file", "there is no parser for it; convert it to NetCDF"),
    (b"ENVI", "an ENVI header", "name the raw file that lies beside it"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS and not the file",
        "fetch the file with git lfs pull",
    ),
]


def sniff(content: Content) -> str:
    """The key in ``FORMATS`` that a file's content, or a folder's, belongs to.

    Raises
    ------
    InputError
        For what no parser can take, with what it is and what to do.
    """
    if content.is_folder:
        return _sniff_folder(content)
    head = content.head(65536 + len(HDF5_SIGNATURE))
    if not head:
        raise InputError(f"{content.url}: the file is empty; fetch it again.")
    if name := _by_signature(head):
        return name
    if head.startswith(b"PK\x03\x04") and _is_zipped_zarr(content):
        return "zarr-zip"
    if not _is_text(head) and importlib.import_module("vzarr.formats.envi").find_header(content):
        return "envi"  # a raw file, which may begin with anything
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return _sniff_markup(content.url, text)
    if text.startswith(b"{"):
        return _sniff_json(content.url, head)
    raise _unknown(content.url, head)


def _by_signature(head: bytes) -> str:
    """The format that a file's first bytes alone tell, or an empty string."""
    # HDF5 allows a user block of 512, 1024, 2048... bytes before the signature.
    if any(head.startswith(HDF5_SIGNATURE, at) for at in (0, *(512 << n for n in range(8)))):
        return "hdf5"
    for name, form in FORMATS.items():
        if form.magic and head.startswith(form.magic):
            return name
    if (at := head.find(b"GRIB")) in range(0, 512) and head[at + 7 : at + 8] in (b"\x01", b"\x02"):
        return "grib"
    return ""


def _unknown(url: str, head: bytes) -> InputError:
    """The error for a file of no format in ``FORMATS``: what it is, and what to do."""
    for magic, what, advice in _REFUSED:
        if head.startswith(magic):
            return InputError(f"{url}: {what}: {advice}.")
    if head[257:262] == b"ustar":
        return InputError(f"{url}: a tar archive: unpack it and build from what is in it.")
    return InputError(
        f"{url}: {_describe(head)}, not NetCDF or HDF5 or any {_known()}: "
        "fetch it again, or convert it to one of these."
    )


def _known() -> str:
    return "of " + ", ".join([*(form.title for form in list(FORMATS.values())[2:]), "DMR++"])


def _describe(head: bytes) -> str:
    if not head.strip(b"\x00"):
        return "begins with zeros only, as a file that was not fetched whole"
    if _is_text(head):
        return f"plain text, as CSV (begins with {head[:12].decode(errors='replace')!r})"
    return f"of a format that is not known here (begins with {head[:8]!r})"


def _is_text(head: bytes) -> bool:
    head = head[:4096]
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in head)
    return printable >= 0.97 * len(head)


def _sniff_folder(content: Content) -> str:
    names = content.names()
    if {"zarr.json", ".zgroup", ".zmetadata"} & names:
        consolidated = content.member(".zmetadata") if ".zmetadata" in names else b""
        return "kerchunk-parquet" if b'"record_size"' in consolidated else "zarr"
    if ".zarray" in names:
        raise InputError(
            f"{content.url}: a single Zarr array without a group: name the folder above it."
        )
    if "snapshots" in names:
        raise InputError(
            f"{content.url}: an Icechunk repository, which needs no references: open it as it is, "
            "or see references/formats-zarr.md to combine it with others."
        )
    raise InputError(
        f"{content.url}: a folder without Zarr metadata: name its files, as in {content.url}/*.nc."
    )


def _is_zipped_zarr(content: Content) -> bool:
    import zipfile

    with zipfile.ZipFile(content.open()) as archive:
        members, available = archive.infolist(), archive.start_dir
    if not {"zarr.json", ".zgroup", ".zmetadata"} & {member.filename for member in members}:
        return False
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(
            f"{content.url}: a zip archive of Zarr whose members are compressed: "
            f"{_WHOLE.format('zip it again without compression (zip -0)')}."
        )
    taken = sum(member.compress_size for member in members)
    if taken > available or any(member.compress_size != member.file_size for member in members):
        raise InputError(
            f"{content.url}: a zip archive whose members overlap ({taken:,} bytes of them in "
            f"{available:,}): it is damaged; fetch it again."
        )
    return True


def _sniff_markup(url: str, text: bytes) -> str:
    lower = text[:1024].lower()
    if lower.startswith(b"<!doctype html") or b"<html" in lower:
        raise InputError(
            f"{url}: an HTML page, perhaps the error or the login page of a server: "
            "fetch the file again, with credentials."
        )
    if b"<error>" in lower:
        raise InputError(f"{url}: an error message of a server: fetch the file again.")
    raise InputError(f"{url}: XML, but not DMR++: name the data file that it describes.")


def _sniff_json(url: str, head: bytes) -> str:
    if b'"refs"' in head or b'".zgroup"' in head or b'/.zarray"' in head:
        return "kerchunk"
    if b'"zarr_format"' in head or b'"zarr_consolidated_format"' in head:
        raise InputError(f"{url}: metadata of a Zarr store: name the store's folder.")
    raise InputError(f"{url}: JSON, but no Kerchunk references (it has no refs).")
