"""Who may use the service: names with secrets, from a file."""

import base64
import binascii
import hashlib
import hmac
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from stable_audio_open.files.text import not_utf8, text_lines

SHORTEST = 12
"""Characters of a secret, below which it could be guessed by trying."""


class Keys:
    """Names and their secrets, of which digests alone are kept.

    Args:
        secrets: By name.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._digests = {name: _digest(secret) for name, secret in secrets.items()}

    def name_of(self, authorization: str) -> str | None:
        """Return whose secret a header `Authorization` holds, or None.

        All secrets are compared, each in constant time. `Bearer SECRET` is for programs, `Basic`
        with name and password for browsers.
        """
        scheme, _, value = authorization.partition(" ")
        match scheme.lower():
            case "bearer":
                name, secret = None, value.strip()
            case "basic":
                try:
                    text = base64.b64decode(value.strip(), validate=True).decode()
                except (binascii.Error, UnicodeDecodeError):
                    return None
                name, _, secret = text.partition(":")
            case _:
                return None
        given, found = _digest(secret), None
        for known, digest in self._digests.items():
            if hmac.compare_digest(given, digest) and name in (None, known):
                found = known
        return found


def read_keys(path: Path) -> Keys:
    """Read names and secrets: one `NAME:SECRET` a line; empty lines and those with # are left out.

    Raises:
        ValueError: The file cannot be read by its owner alone, or a line is no such pair.
        OSError: It cannot be read.
    """
    # Elsewhere the mode says nothing of who can read.
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        raise ValueError(f"{path}: can be read by others than its owner; chmod 600 {path}")
    secrets: dict[str, str] = {}
    for number, content in text_lines(path):
        if content.lstrip().startswith(b"#"):
            continue
        if fault := not_utf8(content):
            raise ValueError(f"{path}:{number}: {fault}")
        line = content.decode()
        name, colon, secret = (part.strip() for part in line.partition(":"))
        if not (name and colon and secret):
            raise ValueError(f"{path}:{number}: must be NAME:SECRET; write a line for each client")
        if name in secrets:
            raise ValueError(f"{path}:{number}: the name {name!r} stands twice; leave one out")
        if len(secret) < SHORTEST:
            raise ValueError(
                f"{path}:{number}: the secret of {name!r} has {len(secret)} characters; at least "
                f"{SHORTEST} are wanted"
            )
        if secret in secrets.values():
            raise ValueError(
                f"{path}:{number}: {name!r} has the secret of another one; give it one of its own"
            )
        secrets[name] = secret
    if not secrets:
        raise ValueError(f"{path}: names nobody; write a line NAME:SECRET for each client")
    return Keys(secrets)


def _digest(secret: str) -> bytes:
    """Return a secret in a form whose length says nothing."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
