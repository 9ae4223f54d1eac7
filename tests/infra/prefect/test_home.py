"""A process gets an environment in which Prefect can be imported and its temporary server can start."""

from __future__ import annotations

import os
import pwd
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import pytest

from infra.prefect.home import prepare, without_proxy

DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a separate home for the test, with its own folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def prepared(**given: str) -> dict[str, str]:
    environment = dict(given)
    prepare(environment)
    return environment


def put_database(home: Path, revision: str) -> Path:
    path = home / ".prefect" / "prefect.db"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
        connection.commit()
    return path


def test_a_usable_home_stays_unchanged(home: Path) -> None:
    assert prepared() == {}
    assert prepared(PREFECT_HOME=str(home / "elsewhere")) == {"PREFECT_HOME": str(home / "elsewhere")}


def test_a_database_of_this_version_or_an_older_one_is_used(home: Path) -> None:
    import prefect

    versions = Path(prefect.__file__).parent / "server/database/_migrations/versions/sqlite"
    for path in (min(versions.glob("2*.py")), max(versions.glob("2*.py"))):
        database = put_database(home, path.name.split("_")[4])
        assert prepared() == {}
        database.unlink()
        database.parent.rmdir()


@pytest.mark.parametrize("fault", ["newer", "damaged"])
def test_a_database_of_another_version_is_neither_used_nor_touched(
    home: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = put_database(home, "0123456789ab")
    if fault == "damaged":
        path.write_bytes(b"this was a database once " * 100)
    before = path.read_bytes()
    environment = prepared()
    assert environment[DATABASE].startswith(f"sqlite+aiosqlite:///{tempfile.gettempdir()}/derain-prefect-")
    assert path.read_bytes() == before
    (line,) = caplog.messages
    assert str(path) in line
    assert "another version" in line
    assert prepared(**{DATABASE: "mine"}) == {DATABASE: "mine"}


def test_a_home_that_cannot_be_written_is_replaced_and_its_profiles_are_read(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.parent.joinpath("home").write_text("a file")  # not even root can write below a file
    environment = prepared()
    private = Path(environment["PREFECT_HOME"])
    assert private.parent == Path(tempfile.gettempdir())
    assert private.stat().st_mode & 0o777 == 0o700
    assert "cannot be written" in caplog.text
    assert prepared() == environment  # always the same


def test_a_user_without_a_home_gets_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    environment = prepared()
    assert environment["HOME"] == environment["PREFECT_HOME"]
    assert environment["USER"] == str(os.getuid())


def test_a_private_folder_that_others_can_write_to_is_not_trusted(home: Path) -> None:
    home.parent.joinpath("home").write_text("a file")
    private = Path(prepared()["PREFECT_HOME"])
    private.chmod(0o777)
    assert Path(prepared()["PREFECT_HOME"]) != private


@pytest.mark.parametrize(
    ("given", "direct"),
    [
        ({}, None),
        ({"NO_PROXY": "intranet"}, None),
        ({"HTTP_PROXY": "http://proxy:3128"}, "127.0.0.1,localhost,::1"),
        ({"https_proxy": "http://proxy:3128"}, "127.0.0.1,localhost,::1"),
        ({"ALL_PROXY": "http://proxy", "no_proxy": "a, localhost"}, "a,localhost,127.0.0.1,::1"),
        ({"ALL_PROXY": "http://proxy", "NO_PROXY": "*"}, None),
    ],
)
def test_loopback_never_goes_through_a_proxy(given: dict[str, str], direct: str | None) -> None:
    assert without_proxy(given) == ({"NO_PROXY": direct, "no_proxy": direct} if direct else {})
