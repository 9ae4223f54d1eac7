"""Credentials for S3, resolved in the order of every AWS tool: environment, profile, then the machine's role.

Nothing here is ever logged, shown or made a parameter; the results go straight into a client.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.errors import AccessDenied, UrlRefused, one_line

if TYPE_CHECKING:
    from botocore.session import Session

WAY_OUT = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
DEFAULT_REGION = "us-east-1"  # S3-compatible servers accept any region, but signatures need one


@dataclass(frozen=True, slots=True)
class Account:
    """Address and addressing style of S3, with botocore's credentials, which renew themselves."""

    credentials: Any
    endpoint: str | None
    region: str
    path_style: bool

    def __repr__(self) -> str:
        return f"Account(endpoint={self.endpoint!r}, region={self.region!r})"


def s3_options() -> dict[str, Any]:
    """Return the options with which s3fs reaches S3 as this user.

    Returns
    -------
    dict[str, Any]
        Keyword arguments of `s3fs.S3FileSystem`. They contain secrets: pass them on, never show them.

    Raises
    ------
    AccessDenied
        If there are no usable credentials.
    """
    account = _account()
    key, secret, token = _frozen(account)
    options: dict[str, Any] = {
        "key": key,
        "secret": secret,
        "token": token,
        "endpoint_url": account.endpoint,
        "client_kwargs": {"region_name": account.region},
        "config_kwargs": {"s3": {"addressing_style": "path" if account.path_style else "auto"}},
    }
    if account.endpoint:  # servers other than AWS may not support the newer checksum trailers
        options["config_kwargs"] |= {
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        }
    return options


def delta_options(url: str) -> dict[str, str]:
    """Return the options with which deltalake opens a table; call it again for each commit, because tokens expire.

    Parameters
    ----------
    url : str
        A local path, which needs no options, or `s3://bucket/prefix`.

    Returns
    -------
    dict[str, str]
        `storage_options`. They contain secrets: pass them on, never show them.
    """
    if not url.startswith("s3://"):
        return {}
    account = _account()
    key, secret, token = _frozen(account)
    options = {
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": account.region,
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": str(not account.path_style).lower(),
        "conditional_put": "etag",  # of two concurrent commits one wins, and the other gets an error
    }
    if token:
        options["AWS_SESSION_TOKEN"] = token
    if account.endpoint:
        options["AWS_ENDPOINT_URL"] = account.endpoint
        options["AWS_ALLOW_HTTP"] = str(account.endpoint.startswith("http://")).lower()
    return options


def is_amazon() -> bool:
    """Return whether S3 is Amazon's own, the only store whose storage classes have a known meaning."""
    endpoint = _account().endpoint
    host = urlsplit(endpoint).hostname or "" if endpoint else "amazonaws.com"
    return host.endswith(("amazonaws.com", "amazonaws.com.cn"))


def renew() -> None:
    """Forget resolved credentials, so that the next call reads environment and profile files again."""
    _resolve.cache_clear()


def _account() -> Account:
    # The environment and the process id are part of the cache key: a changed AWS_PROFILE is another account, and
    # a forked child must not share locks with its parent.
    environment = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    from botocore.exceptions import BotoCoreError  # imports take a moment: only if S3 is used

    try:
        return _resolve(os.getpid(), environment)
    except BotoCoreError as error:
        raise AccessDenied(f"S3 credentials: {one_line(error)}; {WAY_OUT}") from None


@lru_cache(maxsize=4)
def _resolve(pid: int, environment: tuple[tuple[str, str], ...]) -> Account:
    from botocore.session import Session

    session = Session()
    profile = session.get_scoped_config()
    endpoint = _endpoint(session)
    s3_section = profile.get("s3")
    style = s3_section.get("addressing_style") if isinstance(s3_section, dict) else None
    return Account(
        credentials=session.get_credentials(),
        endpoint=endpoint,
        region=session.get_config_variable("region") or dict(environment).get("AWS_REGION") or DEFAULT_REGION,
        path_style=style == "path" or (endpoint is not None and style != "virtual"),
    )


def _endpoint(session: Session) -> str | None:
    from botocore.configprovider import ConfiguredEndpointProvider

    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = ConfiguredEndpointProvider(session.full_config, session.get_scoped_config(), "s3")
    endpoint = provider.provide()
    return checked_endpoint(str(endpoint), _endpoint_source()) if endpoint else None


def _endpoint_source() -> str:
    variables = (name for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if os.environ.get(name))
    return next(variables, "endpoint_url of the AWS profile")


def checked_endpoint(endpoint: str, source: str) -> str:
    """Return an endpoint, which must have a scheme.

    Parameters
    ----------
    endpoint : str
        Address of an S3 server.
    source : str
        Name of the variable or setting that holds it, for the message.

    Raises
    ------
    UrlRefused
        If it has none.
    """
    if endpoint.startswith(("http://", "https://")):
        return endpoint
    raise UrlRefused(
        f"{source}={endpoint}: an endpoint begins with http:// or https://; write http://{endpoint}"
    )


def _frozen(account: Account) -> tuple[str, str, str | None]:
    if account.credentials is None:
        raise AccessDenied(f"no S3 credentials found; {WAY_OUT}")
    from botocore.exceptions import BotoCoreError

    try:
        frozen = account.credentials.get_frozen_credentials()
    except BotoCoreError as error:
        raise AccessDenied(f"S3 credentials: {one_line(error)}; {WAY_OUT}") from None
    return frozen.access_key, frozen.secret_key, frozen.token
