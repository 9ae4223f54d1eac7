"""Credentials for S3 are found as by every AWS tool, passed to both clients, and never shown."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from infra.errors import AccessDenied
from infra.storage import credentials
from infra.storage.credentials import delta_options, renew, s3_options

PROFILES = """
[default]
region = eu-west-1
[profile ceph]
region = here-1
endpoint_url = http://profile.example:7480
[profile services]
services = mine
[services mine]
s3 =
  endpoint_url = https://services.example
[profile virtual]
endpoint_url = https://virtual.example
s3 =
  addressing_style = virtual
[profile role]
credential_process = {process}
"""
SECRETS = """
[default]
aws_access_key_id = default-key
aws_secret_access_key = default-secret
[ceph]
aws_access_key_id = ceph-key
aws_secret_access_key = ceph-secret
aws_session_token = ceph-token
[services]
aws_access_key_id = a
aws_secret_access_key = b
[virtual]
aws_access_key_id = a
aws_secret_access_key = b
"""
PROCESS = """#!/bin/sh
echo called >> {log}
cat <<END
{{"Version": 1, "AccessKeyId": "role-key", "SecretAccessKey": "s", "SessionToken": "t",
  "Expiration": "{until}"}}
END
"""


@pytest.fixture
def profiles(no_aws: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    (tmp_path / "config").write_text(PROFILES.format(process=tmp_path / "process"))
    (tmp_path / "credentials").write_text(SECRETS)
    no_aws.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    no_aws.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    renew()
    return no_aws


def test_the_environment_is_enough(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "env-key")
    no_aws.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")
    no_aws.setenv("AWS_ENDPOINT_URL", "http://everything.example")
    options = s3_options()
    assert (options["key"], options["secret"], options["token"]) == ("env-key", "env-secret", None)
    assert options["endpoint_url"] == "http://everything.example"
    assert options["client_kwargs"] == {"region_name": "us-east-1"}
    assert options["config_kwargs"]["s3"] == {"addressing_style": "path"}
    no_aws.setenv("AWS_ENDPOINT_URL_S3", "http://s3.example")
    assert s3_options()["endpoint_url"] == "http://s3.example"
    no_aws.setenv("AWS_REGION", "eu-north-1")
    assert s3_options()["client_kwargs"] == {"region_name": "eu-north-1"}
    no_aws.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert s3_options()["endpoint_url"] is None


def test_a_profile_is_enough(profiles: pytest.MonkeyPatch) -> None:
    options = s3_options()
    assert (options["key"], options["endpoint_url"]) == ("default-key", None)
    assert options["client_kwargs"] == {"region_name": "eu-west-1"}
    assert options["config_kwargs"] == {"s3": {"addressing_style": "auto"}}
    profiles.setenv("AWS_PROFILE", "ceph")
    options = s3_options()
    assert (options["key"], options["secret"], options["token"]) == ("ceph-key", "ceph-secret", "ceph-token")
    assert options["endpoint_url"] == "http://profile.example:7480"
    assert options["client_kwargs"] == {"region_name": "here-1"}


def test_sections_of_a_profile_are_read(profiles: pytest.MonkeyPatch) -> None:
    profiles.setenv("AWS_PROFILE", "services")
    assert s3_options()["endpoint_url"] == "https://services.example"
    profiles.setenv("AWS_PROFILE", "virtual")
    assert s3_options()["config_kwargs"]["s3"] == {"addressing_style": "auto"}
    assert delta_options("s3://b")["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] == "true"


def test_delta_gets_the_same(profiles: pytest.MonkeyPatch) -> None:
    profiles.setenv("AWS_PROFILE", "ceph")
    assert delta_options("s3://bucket/table") == {
        "AWS_ACCESS_KEY_ID": "ceph-key",
        "AWS_SECRET_ACCESS_KEY": "ceph-secret",
        "AWS_SESSION_TOKEN": "ceph-token",
        "AWS_REGION": "here-1",
        "AWS_ENDPOINT_URL": "http://profile.example:7480",
        "AWS_ALLOW_HTTP": "true",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        "conditional_put": "etag",
    }
    profiles.setenv("AWS_PROFILE", "services")
    assert delta_options("s3://bucket/table")["AWS_ALLOW_HTTP"] == "false"


def test_a_local_table_needs_nothing(no_aws: pytest.MonkeyPatch) -> None:
    assert delta_options("/some/where") == {}


def test_without_credentials_the_message_says_the_way_out(no_aws: pytest.MonkeyPatch) -> None:
    for ask in (s3_options, lambda: delta_options("s3://bucket")):
        with pytest.raises(AccessDenied, match="no S3 credentials found; set AWS_ACCESS_KEY_ID"):
            ask()


def test_an_unknown_profile_is_named(profiles: pytest.MonkeyPatch) -> None:
    profiles.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AccessDenied, match="nobody"):
        s3_options()


def test_half_of_a_key_is_reported(no_aws: pytest.MonkeyPatch) -> None:
    no_aws.setenv("AWS_ACCESS_KEY_ID", "only-half")
    with pytest.raises(AccessDenied, match="set AWS_ACCESS_KEY_ID"):
        s3_options()


def test_it_is_resolved_once_until_it_runs_out(profiles: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, process = tmp_path / "log", tmp_path / "process"

    def valid_until(year: int) -> None:
        until = datetime(year, 1, 1, tzinfo=UTC).isoformat()
        process.write_text(PROCESS.format(log=log, until=until))

    valid_until(2999)
    process.chmod(0o755)
    profiles.setenv("AWS_PROFILE", "role")
    assert {s3_options()["key"] for _ in range(5)} == {"role-key"}
    assert delta_options("s3://b")["AWS_SESSION_TOKEN"] == "t"
    assert log.read_text().count("called") == 1
    renew()
    s3_options()
    assert log.read_text().count("called") == 2


def test_a_changed_profile_is_seen_after_renewing(profiles: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert s3_options()["key"] == "default-key"
    (tmp_path / "credentials").write_text(SECRETS.replace("default-key", "next-key"))
    assert s3_options()["key"] == "default-key"
    renew()
    assert s3_options()["key"] == "next-key"


def test_an_account_does_not_show_its_secrets(profiles: pytest.MonkeyPatch) -> None:
    shown = repr(credentials._account())
    assert "eu-west-1" in shown
    assert "default" not in shown


def rows(*keys: str) -> pa.Table:
    return pa.table({"key": list(keys)})


def insert(table: DeltaTable, *keys: str) -> None:
    merge = table.merge(rows(*keys), "t.key = s.key", source_alias="s", target_alias="t")
    merge.when_not_matched_insert_all().execute()


def test_delta_tables_work_on_a_real_server(bucket: str) -> None:
    url = f"{bucket}/work space/catalog/derained"
    write_deltalake(url, rows("a", "b"), storage_options=delta_options(url))
    table = DeltaTable(url, storage_options=delta_options(url))
    insert(table, "b", "c")
    assert sorted(
        DeltaTable(url, storage_options=delta_options(url)).to_pyarrow_table()["key"].to_pylist()
    ) == [
        "a",
        "b",
        "c",
    ]


def test_one_of_two_stale_merges_is_refused(bucket: str) -> None:
    url = f"{bucket}/derained"
    write_deltalake(url, rows("a"), storage_options=delta_options(url))
    one, other = (DeltaTable(url, storage_options=delta_options(url)) for _ in range(2))
    insert(one, "b")
    with pytest.raises(CommitFailedError):
        insert(other, "b")


def test_appends_at_once_all_land(bucket: str) -> None:
    url = f"{bucket}/derained"
    write_deltalake(url, rows("start"), storage_options=delta_options(url))

    def append(key: str) -> None:
        write_deltalake(url, rows(key), mode="append", storage_options=delta_options(url))

    threads = [threading.Thread(target=append, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = DeltaTable(url, storage_options=delta_options(url)).to_pyarrow_table()["key"].to_pylist()
    assert sorted(found) == ["0", "1", "2", "3", "start"]
