"""Translation of errors of S3 and of the network into the errors of this project."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from aiohttp import ClientError as TransferError
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ResponseStreamingError,
    SSOError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from fsspec.exceptions import FSTimeoutError

from infra.errors import (
    AccessDenied,
    BucketNotFound,
    CredentialsRefused,
    KeyRefused,
    ObjectArchived,
    ObjectNotFound,
    ObjectUnreadable,
    RequestUnsupported,
    StorageError,
    TransientError,
    one_line,
)
from infra.storage.credentials import WAY_OUT

T = TypeVar("T")

TRANSIENT_ERRORS = (
    BotoConnectionError,
    HTTPClientError,
    TransferError,
    IncompleteReadError,
    ResponseStreamingError,
    FlexibleChecksumError,
    ResponseParserError,
    OSError,  # time-outs and resets below the client
)
TRANSIENT_CODES = {
    "BadDigest",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
    "XAmzContentSHA256Mismatch",
}
TRANSIENT_STATUS = {408, 409, 425, 429}
DENIED_CODES = {
    "AccessDenied", "AllAccessDisabled", "AuthFailure", "ExpiredToken", "ExpiredTokenException", "Forbidden",
    "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "InvalidToken", "MissingAuthenticationToken",
    "MissingSecurityHeader", "NotSignedUp", "SignatureDoesNotMatch", "TokenRefreshRequired", "Unauthorized",
    "UnauthorizedAccess", "UnrecognizedClientException",
    "", "401", "403",  # the answer to a HEAD has no error code
}  # fmt: skip
"""Codes about rights or credentials; servers also use 403 for other reasons: a quota, an archive, a clock."""
CREDENTIAL_CODES = {
    "ExpiredToken", "ExpiredTokenException", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken",
    "NotSignedUp", "TokenRefreshRequired", "UnrecognizedClientException", "AllAccessDisabled", "AuthFailure",
    "InvalidSecurity", "MissingAuthenticationToken", "MissingSecurityHeader", "SignatureDoesNotMatch",
}  # fmt: skip
"""Those among `DENIED_CODES` that concern the credentials, whatever the object."""
KMS = "KMS."
"""Beginning of the codes with which a store passes on the answer of its key service."""
CLOCK_CODES = {"RequestTimeTooSkewed", "RequestInTheFuture"}
UNSUPPORTED_CODES = {"NotImplemented", "NotSupported", "UnsupportedOperation", "MethodNotAllowed"}
CONDITION_CODES = UNSUPPORTED_CODES | {"InvalidArgument", "InvalidRequest"}
DENIED_ERRORS = (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError, SSOError)
KEY_CODES = {"InvalidURI", "KeyTooLongError", "XMinioInvalidObjectName"}
BUCKET_CODES = {"InvalidBucketName", "NoSuchBucket"}


def translate_errors(action: Callable[[], T], url: str) -> T:
    """Run one request and translate the error that it raises.

    Parameters
    ----------
    action : Callable[[], T]
        The request.
    url : str
        The URL that is accessed, for the message.

    Raises
    ------
    TransientError
        If the error may be temporary.
    StorageError
        If the error is permanent, or unknown.
    RequestUnsupported
        If the store does not support the request.
    ObjectNotFound, ObjectArchived, ObjectUnreadable, AccessDenied, CredentialsRefused, KeyRefused
        Where these apply.
    """
    try:
        return action()
    except ClientError as error:
        raise _meaning(error, url) from error
    except FSTimeoutError as error:
        raise TransientError("no answer in time") from error
    except TRANSIENT_ERRORS as error:
        raise TransientError(_interruption(error)) from error
    except DENIED_ERRORS as error:
        raise CredentialsRefused(f"{url}: {one_line(error)}; {WAY_OUT}") from error
    except ParamValidationError as error:
        raise _invalid(error, url) from error
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is not a URL
        raise StorageError(f"{url}: {one_line(error)}") from error


def _interruption(error: Exception) -> str:
    """Describe an error of the connection without the request's query, which fills a terminal."""
    requested = error.kwargs.get("endpoint_url") if isinstance(error, BotoCoreError) else None
    if not requested:
        return one_line(error)
    parts = urlsplit(str(requested))
    address = f"{parts.scheme}://{parts.netloc}"
    if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
        return f"cannot connect to {address}; check AWS_ENDPOINT_URL, or the credentials block if one is set"
    return one_line(error).replace(str(requested), address)


def is_precondition(error: ClientError) -> bool:
    """Return whether a conditional request was refused because its condition did not hold."""
    return _status(error) == 412


def refuses_conditions(error: ClientError) -> bool:
    """Return whether a conditional request was refused because the store does not support conditions."""
    return _code(error) in CONDITION_CODES or _status(error) == 501


def _meaning(error: ClientError, url: str) -> Exception:
    code, status = _code(error), _status(error)
    if code in UNSUPPORTED_CODES or status == 501:
        return RequestUnsupported(f"{url}: the server does not support this request ({code or status})")
    if code in CLOCK_CODES:
        return StorageError(
            f"{url}: the clock of this machine and the server's differ ({code}); set the clock"
        )
    if code == "InvalidObjectState":
        return ObjectArchived()
    if code.removeprefix(KMS) in TRANSIENT_CODES or status >= 500 or status in TRANSIENT_STATUS:
        return TransientError(f"{code or status} from the server")
    if code in BUCKET_CODES:
        return BucketNotFound(f"{url}: there is no such bucket")
    if status == 404:
        return ObjectNotFound(f"{url} does not exist")
    if code in DENIED_CODES and status in (400, 401, 403):
        kind = CredentialsRefused if code in CREDENTIAL_CODES else AccessDenied
        return kind(f"{url}: access denied ({code or status}); check the rights, or {WAY_OUT}")
    if _is_unreadable(error):
        return ObjectUnreadable(f"{url}: {one_line(error)}; check the key that encrypts it, or leave it out")
    if code in KEY_CODES:
        return KeyRefused(f"{url} cannot be an object: {code}")
    if status in (301, 302, 307):
        return StorageError(f"{url}: the bucket is in another region or at another endpoint ({code})")
    return StorageError(f"{url}: {one_line(error)}")


def _is_unreadable(error: ClientError) -> bool:
    """Return whether a read was refused because of the object's encryption, with KMS or a key of its own."""
    code = _code(error)
    is_of_key = code.startswith(KMS) or (code == "InvalidRequest" and "encrypt" in str(error).lower())
    return error.operation_name == "GetObject" and is_of_key


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _invalid(error: ParamValidationError, url: str) -> Exception:
    if "bucket" in str(error).lower():
        return ObjectNotFound(f"{url}: not a valid bucket name")
    return KeyRefused(f"{url} cannot be an object: {one_line(error)}")


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
