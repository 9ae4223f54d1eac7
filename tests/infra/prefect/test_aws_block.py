"""Credentials from a block on a real Prefect server reach storage, and nothing else shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.running.flow_settings import command_settings, flow_settings
from infra.prefect.aws_block import SLUG, VARIABLES, BlockRefused, use_aws_block
from infra.storage.credentials import s3_options
from tests.support.servers.prefect_server import PrefectServer, prefect_server
from tests.support.servers.server_processes import ROOT

pytestmark = pytest.mark.slow
KEYS = {"aws_access_key_id": "block-key", "aws_secret_access_key": "block-secret"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as running:
        for name, data in {
            "mine": {
                **KEYS,
                "region_name": "here-1",
                "aws_client_parameters": {"endpoint_url": "http://ceph:1"},
            },
            "role": {"profile_name": "derain"},
            "bare": {**KEYS, "aws_client_parameters": {"endpoint_url": "ceph:1"}},
            "empty": {"region_name": "here-1"},
        }.items():
            write_block(running, name, data)
        with temporary_settings({PREFECT_API_URL: running.url}):
            yield running


def write_block(server: PrefectServer, name: str, data: dict[str, object]) -> None:
    kind = server.get(f"block_types/slug/{SLUG}")
    (schema,) = server.post("block_schemas/filter", block_schemas={"block_type_id": {"any_": [kind["id"]]}})
    server.post(
        "block_documents/", name=name, data=data, block_type_id=kind["id"], block_schema_id=schema["id"]
    )


@pytest.fixture
def environment(no_aws: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Return a separate environment, which the block may change."""
    for variable in (*VARIABLES.values(), "AWS_ENDPOINT_URL"):
        no_aws.setenv(variable, "")  # so that it is put back
        no_aws.delenv(variable)
    return no_aws


@pytest.mark.usefixtures("server")
def test_a_block_replaces_what_the_environment_says(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "env-key")
    environment.setenv("AWS_SESSION_TOKEN", "env-token")
    environment.setenv("DERAIN_WORKSPACE", str(tmp_path))
    environment.setenv("DERAIN_AWS_CREDENTIALS_BLOCK", "mine")
    flow_settings()
    options = s3_options()
    assert (options["key"], options["secret"], options["token"]) == ("block-key", "block-secret", None)
    assert options["endpoint_url"] == "http://ceph:1"
    assert options["client_kwargs"] == {"region_name": "here-1"}


@pytest.mark.usefixtures("server")
def test_commands_that_are_not_flows_use_the_block_only_for_buckets(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("DERAIN_WORKSPACE", str(tmp_path))
    environment.setenv("DERAIN_AWS_CREDENTIALS_BLOCK", "mine")
    command_settings(str(tmp_path / "rainy"), None)
    assert "AWS_ACCESS_KEY_ID" not in os.environ
    command_settings("s3://photos/rainy", None)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "block-key"


@pytest.mark.usefixtures("server", "environment")
def test_a_block_may_name_a_profile() -> None:
    use_aws_block("role")
    assert os.environ["AWS_PROFILE"] == "derain"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("nowhere", "Prefect has no AwsCredentials block of this name"),
        ("bare", "endpoint_url=ceph:1: an endpoint begins with http:// or https://; write http://ceph:1"),
        ("empty", "the block has neither an access key nor a profile"),
    ],
)
def test_a_block_that_cannot_be_used_is_one_line_and_changes_nothing(
    environment: pytest.MonkeyPatch, name: str, reported: str
) -> None:
    environment.setenv("AWS_ACCESS_KEY_ID", "env-key")
    with pytest.raises(BlockRefused, match=f"^DERAIN_AWS_CREDENTIALS_BLOCK={name}: {reported}") as refusal:
        use_aws_block(name)
    assert "\n" not in str(refusal.value)
    assert os.environ["AWS_ACCESS_KEY_ID"] == "env-key"


@pytest.mark.usefixtures("server", "environment")
def test_the_lines_of_the_documentation_create_a_block() -> None:
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(lines, {})
    use_aws_block("photos")
    assert os.environ["AWS_ENDPOINT_URL"] == "https://s3.example.org"
