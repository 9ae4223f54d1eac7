"""TLS between the coordinator, the Dask scheduler and its workers.

Whoever reaches a Dask scheduler or worker can run code as its user, so every connection is authenticated on both
sides: with certificates that live as long as the run on this machine, with those of the cluster elsewhere.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from pathlib import Path

from distributed import Security
from distributed.comm import parse_address, parse_host_port

from infra.errors import UserError
from infra.settings import Settings

logger = logging.getLogger(__name__)


class CertificatesInvalid(UserError):
    """Certificates of a remote cluster are missing or cannot be used. The message names the file or variable."""


def local_security() -> Security:
    """Create a key and a certificate, in memory only, for one cluster on this machine."""
    return Security.temporary()


def remote_security(settings: Settings) -> Security:
    """Return the certificates for the cluster that `settings.cluster` names.

    They are those of `DERAIN_TLS_CA`, `DERAIN_TLS_CERT` and `DERAIN_TLS_KEY`, or else of Dask's own configuration
    (`distributed.comm.tls` in a file of `~/.config/dask`, or `DASK_DISTRIBUTED__COMM__TLS__CA_FILE` and so on).

    Raises
    ------
    CertificatesInvalid
        If a `tls://` address has no certificates, or a file of them is absent or holds none.
    """
    given = {"tls_ca_file": settings.tls_ca, "tls_client_cert": settings.tls_cert}
    if settings.tls_key:
        given["tls_client_key"] = settings.tls_key
    security = Security(**{name: path for name, path in given.items() if path})
    if str(settings.cluster).startswith("tls://"):
        _check_certificates(security, str(settings.cluster))
    return security


def warn_of_plain_tcp(address: str) -> None:
    """Log a warning where a connection without TLS leaves this machine.

    Parameters
    ----------
    address : str
        Of a scheduler, such as `tcp://scheduler:8786`.
    """
    scheme, place = parse_address(address)
    if scheme != "tcp" or _is_loopback(parse_host_port(place)[0]):
        return
    logger.warning(
        "%s: connected without TLS: whoever reaches this scheduler or its workers can run code there and read their"
        " credentials; use tls:// with DERAIN_TLS_CA, DERAIN_TLS_CERT and DERAIN_TLS_KEY, or a private network",
        address,
    )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:  # connecting reports it
        return True
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def _check_certificates(security: Security, address: str) -> None:
    wanted = {"DERAIN_TLS_CA": security.tls_ca_file, "DERAIN_TLS_CERT": security.tls_client_cert}
    for variable, path in wanted.items():
        if path is None:
            raise CertificatesInvalid(f"{address}: no certificates: set {variable} to the path of a PEM file")
    for path in filter(None, (*wanted.values(), security.tls_client_key)):
        if not Path(path).is_file():
            raise CertificatesInvalid(
                f"{path}: no such file; it is to hold a certificate or key for {address}"
            )
    try:
        security.get_connection_args("client")
    except (ssl.SSLError, OSError, ValueError) as error:
        files = ", ".join(filter(None, (*wanted.values(), security.tls_client_key)))
        raise CertificatesInvalid(f"{address}: the certificates cannot be used ({files}: {error})") from error
