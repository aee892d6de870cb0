"""The zone on disk: one JSON document, replaced whole, so that a restart gives the last answer and token.

Written to a new file, synced, renamed, and the directory synced: after a crash at any moment the file is
the old or the new one. A file that cannot be understood is an error, never an empty zone (I14).
"""

import json
import os
from pathlib import Path

from mailward.dns.embedded.zone import Zone, ZoneSettings
from mailward.dns.records import absolute, canonical
from mailward.model.dns import RRset
from mailward.model.errors import StoreError

_SCHEMA = 1
_LARGEST_BYTES = 4 * 1024 * 1024


def load(path: Path, settings: ZoneSettings) -> Zone:
    """The zone as saved, or a new one where there is no file; StoreError says what is wrong with it."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_BYTES + 1)
    except FileNotFoundError:
        return Zone(settings)
    except OSError as error:
        raise StoreError(f"zone file {path} cannot be read: {error.strerror}") from error
    try:
        return _parse(text, settings)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(
            f"zone file {path} is not usable: {error}. Restore it, or remove it to begin anew"
        ) from error


def _parse(text: bytes, settings: ZoneSettings) -> Zone:
    if len(text) > _LARGEST_BYTES:
        raise ValueError(f"larger than {_LARGEST_BYTES} bytes")
    document = json.loads(text)
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        raise ValueError(f"not a zone of schema {_SCHEMA}")
    if document["zone"] != absolute(settings.origin):
        raise ValueError(f"it is zone {document['zone']!r}, not {absolute(settings.origin)!r}")
    rrsets = tuple(
        canonical(RRset(str(name), str(kind), int(ttl_s), tuple(str(value) for value in values)))
        for name, kind, ttl_s, values in document["rrsets"]
    )
    return Zone(settings, int(document["serial"]), rrsets)


def save(path: Path, zone: Zone) -> None:
    """OSError when it could not be made durable; the old file then still stands or the new one does."""
    document = {
        "schema": _SCHEMA,
        "zone": zone.origin.to_text(),
        "serial": zone.serial,
        "rrsets": [[rrset.name, rrset.type, rrset.ttl_s, rrset.values] for rrset in zone.published],
    }
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
