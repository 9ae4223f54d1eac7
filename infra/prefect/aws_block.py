"""Credentials from an AwsCredentials block of Prefect (`use_aws_block`), put into this process's AWS environment.

The document of the block is read directly, so the package prefect-aws, which defines such blocks, is not needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from infra.errors import UrlRefused, UserError, one_line
from infra.storage.credentials import checked_endpoint

SLUG = "aws-credentials"
VARIABLES = {
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
    "profile_name": "AWS_PROFILE",
    "region_name": "AWS_DEFAULT_REGION",
}
"""Environment variables by the fields of a block."""
SETTING = "DERAIN_AWS_CREDENTIALS_BLOCK"


class BlockRefused(UserError):
    """Raised if the block cannot be used; the message names the setting and the way out, and no secret."""


def use_aws_block(name: str) -> None:
    """Use the credentials of a block for all of S3 in this process and in those that it starts.

    Workers of a Dask cluster elsewhere keep their own.

    Parameters
    ----------
    name : str
        Name of the block document.

    Raises
    ------
    BlockRefused
        If Prefect has no such block, does not answer, or the block has no credentials or an invalid endpoint.
    """
    try:
        variables = dict(_variables(_document(name)))
    except UrlRefused as error:
        raise BlockRefused(f"{SETTING}={name}: {error}") from error
    if not variables.keys() & {"AWS_ACCESS_KEY_ID", "AWS_PROFILE"}:
        raise BlockRefused(f"{SETTING}={name}: the block has neither an access key nor a profile")
    # A mixture of the environment's and the block's credentials is invalid.
    for variable in (*VARIABLES.values(), "AWS_ENDPOINT_URL"):
        os.environ.pop(variable, None)
    os.environ.update(variables)


def _document(name: str) -> Mapping[str, Any]:
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    try:
        with get_client(sync_client=True) as client:
            return client.read_block_document_by_name(name, SLUG, include_secrets=True).data
    except ObjectNotFound as error:
        raise BlockRefused(
            f"{SETTING}={name}: Prefect has no AwsCredentials block of this name; create it in Prefect's pages"
            " under Blocks, or unset the variable to use the AWS environment"
        ) from error
    except Exception as error:
        raise BlockRefused(f"{SETTING}={name}: the block could not be read: {one_line(error)}") from error


def _variables(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, variable in VARIABLES.items():
        if document.get(field):
            yield variable, str(document[field])
    endpoint = (document.get("aws_client_parameters") or {}).get("endpoint_url")
    if endpoint:
        yield "AWS_ENDPOINT_URL", checked_endpoint(str(endpoint), "endpoint_url")
