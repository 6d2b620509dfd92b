"""Whom a client certificate names, as Kafka's authorizer calls it."""

from __future__ import annotations

import ssl
from typing import Any, Final

# The names that Java gives the parts of a distinguished name (RFC 2253), by those of OpenSSL.
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL: Final = frozenset(',+"\\<>;')


def subject_of(certfile: str) -> str:
    """The subject of a certificate (PEM) as `CN=payment,O=Shop`; the file's name where it cannot be read.

    Kafka's principal of a client with a certificate is `User:` and this; `ssl.principal.mapping.rules` may change it.
    """
    try:
        found: dict[str, Any] = ssl._ssl._test_decode_cert(certfile)  # type: ignore[attr-defined]  # noqa: SLF001 -- Python reads no certificate in any other way
        parts = [(name, value) for group in found["subject"] for name, value in group]
    except (OSError, ValueError, KeyError, AttributeError):
        return f"(of {certfile})"
    return ",".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in reversed(parts))


def _escaped(value: str) -> str:
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in value)
