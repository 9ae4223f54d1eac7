"""TLS credentials for the connections between the coordinator, the Dask scheduler and its workers.

Anyone who can reach a Dask scheduler or worker can run code as its user, so both sides of every connection are
authenticated: on this machine with certificates that exist only for the run (`Security.temporary`), elsewhere with
those of the cluster.
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
    """Certificates of a remote cluster are missing or unusable. The message names the file or variable."""


def remote_security(settings: Settings) -> Security:
    """Return the certificates for the cluster that `settings.cluster` names.

    They come from `DERAIN_TLS_CA`, `DERAIN_TLS_CERT` and `DERAIN_TLS_KEY`, or else from Dask's own configuration
    (`distributed.comm.tls` in a file of `~/.config/dask`, or `DASK_DISTRIBUTED__COMM__TLS__CA_FILE` and so on).

    Raises
    ------
    CertificatesInvalid
        If there are no certificates for a `tls://` address, or one of the files is missing or contains none.
    """
    given = {"tls_ca_file": settings.tls_ca, "tls_client_cert": settings.tls_cert}
    if settings.tls_key:
        given["tls_client_key"] = settings.tls_key
    security = Security(**{name: path for name, path in given.items() if path})
    if str(settings.cluster).startswith("tls://"):
        _check_certificates(security, str(settings.cluster))
    return security


def warn_of_plain_tcp(address: str) -> None:
    """Log a warning if a connection without TLS leaves this machine.

    Parameters
    ----------
    address : str
        Address of a scheduler, such as `tcp://scheduler:8786`.
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
    except OSError:  # reported by the attempt to connect
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
                f"{path}: no such file; it must hold a certificate or key for {address}"
            )
    try:
        security.get_connection_args("client")
    except (ssl.SSLError, OSError, ValueError) as error:
        files = ", ".join(filter(None, (*wanted.values(), security.tls_client_key)))
        raise CertificatesInvalid(f"{address}: the certificates cannot be used ({files}: {error})") from error
