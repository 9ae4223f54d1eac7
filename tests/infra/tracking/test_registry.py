"""The registry on SQLite, which is the default, and on a server that does not exist."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.tracking.local_store import StoreDamaged
from infra.tracking.model_artifact import CONFIG_FILE, WEIGHTS_FILE
from infra.tracking.registry import Registry
from infra.tracking.server import ModelNotFound, TrackingUnreachable
from models.modelfile import STUDENT_BASE, ModelFile, ModelFileInvalid, pack, read_model_file
from models.shipped import DEFAULT_WEIGHTS, WEIGHTS
from tasks.resolved_model import resolve_model
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_student
from tests.support.servers import forked
from tests.support.worlds.batch import PATIENCE

CHAMPION = "models:/derain-student@champion"


@pytest.fixture
def new(tracking_tables: Path, tmp_path: Path) -> Callable[[str], Registry]:
    def make(name: str = "workspace") -> Registry:
        shutil.copytree(tracking_tables, tmp_path / name)
        return Registry(_settings(tmp_path / name))

    return make


def _settings(home: Path, tracking_uri: str | None = None) -> Settings:
    return Settings(workspace=str(home), tracking_uri=tracking_uri, _env_file=None)


def _versions(registry: Registry) -> list[int]:
    found = registry._server.client().search_model_versions("name = 'derain-student'")
    return sorted(int(version.version) for version in found)


@pytest.mark.parametrize("name", ["workspace", "a b%20ü#?"])
def test_the_shipped_weights_become_version_1_once(new: Callable[[str], Registry], name: str) -> None:
    registry = new(name)
    for _ in range(2):
        registry.register_shipped(b"weights", b"config")
    found = registry.resolve(CHAMPION)
    assert (found.name, found.version, found.weights, found.config) == (
        "derain-student",
        "1",
        b"weights",
        b"config",
    )
    assert registry.resolve("models:/derain-student/1") == found
    assert _versions(registry) == [1]


def test_the_digest_survives_the_round_trip(tracking_tables: Path, tmp_path: Path) -> None:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = _settings(tmp_path / "workspace")
    shipped = read_model_file(DEFAULT_WEIGHTS)
    chosen = resolve_model(settings, CHAMPION)
    assert (chosen.model_file.digest, chosen.name, chosen.version) == (shipped.digest, "derain-student", "1")
    tiny = pack(random_student(), {})
    number = Registry(settings).add_version("derain-student", tiny.weights, tiny.config)
    assert resolve_model(settings, f"models:/derain-student/{number}").model_file.digest == tiny.digest
    assert resolve_model(settings, CHAMPION).version == "1"


def test_a_model_of_another_architecture_is_chosen_like_any(tracking_tables: Path, tmp_path: Path) -> None:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = _settings(tmp_path / "workspace")
    packed = pack(random_network("drd-net-tiny"), {})
    number = Registry(settings).add_version("semi-drdnet", packed.weights, packed.config)
    chosen = resolve_model(settings, f"models:/semi-drdnet/{number}")
    assert (chosen.model_file, chosen.name) == (packed, "semi-drdnet")


def test_a_registered_model_that_cannot_be_used_is_refused_at_once(
    tracking_tables: Path, tmp_path: Path
) -> None:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = _settings(tmp_path / "workspace")
    packed = pack(random_student(), {})
    newer = packed.config.replace(b'"schema_version": 2', b'"schema_version": 3')
    number = Registry(settings).add_version("derain-student", packed.weights, newer)
    url = f"models:/derain-student/{number}"
    with pytest.raises(ModelFileInvalid, match=rf"^{url}: config of schema 3, .* this version reads"):
        resolve_model(settings, url)


DAMAGES: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "a flipped bit": (
        WEIGHTS_FILE,
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        "the weights are damaged",
    ),
    "truncated": (WEIGHTS_FILE, lambda data: data[:-9], "the weights are damaged"),
    "other sizes": (
        CONFIG_FILE,
        lambda data: data.replace(b'"unshuffle": 2', b'"unshuffle": 4'),
        "do not fit",
    ),
    "no JSON": (CONFIG_FILE, lambda data: data[:20], "not a model config"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_in_the_registry_are_named(tracking_tables: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = _settings(tmp_path / "workspace")
    packed = pack(random_student(), {})
    number = Registry(settings).add_version("derain-student", packed.weights, packed.config)
    url = f"models:/derain-student/{number}"
    part, change, reported = DAMAGES[damage]
    (path,) = (tmp_path / "workspace" / "artifacts").rglob(part)
    assert change(path.read_bytes()) != path.read_bytes()
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelFileInvalid, match=f"^{url}: .*{reported}") as refusal:
        resolve_model(settings, url)
    assert "\n" not in str(refusal.value)


def test_versions_of_two_plain_files_are_still_read(new: Callable[..., Registry], tmp_path: Path) -> None:
    """Such versions were registered before MLflow itself could load them."""
    registry = new()
    registry.register_shipped(b"weights", b"config")
    for path in (tmp_path / "workspace" / "artifacts").rglob("*"):
        if path.is_file() and path.name not in (WEIGHTS_FILE, CONFIG_FILE):
            path.unlink()
    assert registry.resolve(CHAMPION).weights == b"weights"


@pytest.mark.parametrize(
    ("name", "weights"),
    [("afr-net", "afr-net-large.safetensors"), ("semi-drdnet", "drd-net-slim.safetensors")],
)
def test_a_teacher_that_ships_is_registered_when_it_is_asked_for(
    tracking_tables: Path, tmp_path: Path, name: str, weights: str
) -> None:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    settings = _settings(tmp_path / "workspace")
    resolve_model(settings, CHAMPION)
    with pytest.raises(ModelNotFound):
        Registry(settings).aliases(name)
    chosen = resolve_model(settings, f"models:/{name}@champion")
    shipped = read_model_file(WEIGHTS / weights)
    assert (chosen.model_file, chosen.version) == (shipped, "1")


def test_a_challenger_before_the_first_run_keeps_the_shipped_weights_from_nothing(
    new: Callable[..., Registry],
) -> None:
    registry = new()
    number = registry.register_challenger("derain-student", b"better", b"config")
    registry.register_shipped(b"weights", b"config")
    assert (number, registry.resolve(CHAMPION).weights) == ("1", b"weights")
    assert registry.aliases("derain-student").challenger == number


def test_a_challenger_belongs_to_the_run_that_trained_it(new: Callable[..., Registry]) -> None:
    registry = new()
    client = registry._server.client()
    training = client.create_run(registry._server.experiment(client, "training")).info.run_id
    for weights in (b"first", b"second"):
        number = registry.register_challenger("derain-student", weights, b"config", training)
        assert client.get_model_version("derain-student", number).run_id == training
    assert [registry.resolve(f"models:/derain-student/{n}").weights for n in (1, 2)] == [b"first", b"second"]
    with pytest.raises(ModelNotFound, match="run nobody"):
        registry.register_challenger("derain-student", b"third", b"config", "nobody")
    assert _versions(registry) == [1, 2]


def test_a_later_champion_is_what_a_run_gets(new: Callable[..., Registry]) -> None:
    registry = new()
    registry.register_shipped(b"one", b"config")
    second = registry.add_version("derain-student", b"two", b"config")
    registry._server.client().set_registered_model_alias("derain-student", "champion", second)
    registry.register_shipped(b"one", b"config")
    assert (registry.resolve(CHAMPION).version, registry.resolve(CHAMPION).weights) == ("2", b"two")
    assert registry.resolve("models:/derain-student/1").weights == b"one"


@pytest.mark.parametrize("state", ["model", "version"])
def test_a_killed_first_run_is_finished_by_the_next(new: Callable[..., Registry], state: str) -> None:
    registry = new()
    registry._server.client().create_registered_model("derain-student")
    if state == "version":
        registry.add_version("derain-student", b"weights", b"config")
    registry.register_shipped(b"weights", b"config")
    assert registry.resolve(CHAMPION).version == "1"
    assert _versions(registry) == [1]


def test_a_champion_that_was_taken_away_is_not_replaced(new: Callable[..., Registry]) -> None:
    registry = new()
    registry.add_version("derain-student", b"another", b"config")
    registry.register_shipped(b"weights", b"config")
    with pytest.raises(ModelNotFound, match="champion"):
        registry.resolve(CHAMPION)
    assert _versions(registry) == [1]


def _first_run(workspace: str, barrier: Barrier, versions: SimpleQueue[str]) -> None:
    registry = Registry(_settings(Path(workspace)))
    barrier.wait()
    registry.register_shipped(b"weights", b"config")
    versions.put(registry.resolve(CHAMPION).version)


@pytest.mark.slow
def test_first_runs_that_race_register_once(tmp_path: Path) -> None:
    """On a fresh machine, they also create the tables at the same time."""
    barrier, versions = forked.forks().Barrier(2, timeout=PATIENCE), forked.forks().SimpleQueue()
    runs = [forked.start(_first_run, str(tmp_path / "fresh"), barrier, versions) for _ in range(2)]
    for run in runs:
        run.join(PATIENCE)
    assert [run.exitcode for run in runs] == [0, 0]
    assert [versions.get(), versions.get()] == ["1", "1"]
    assert _versions(Registry(_settings(tmp_path / "fresh"))) == [1]


@pytest.mark.parametrize(
    "url",
    [
        "models:/no-such-model@champion",
        "models:/derain-student@no-such-alias",
        "models:/derain-student/99",
        "models:/derain-student",
        "models:/derain-student/latest",
        "models:/@champion",
        "models:/",
    ],
)
def test_an_unregistered_model_is_named(new: Callable[..., Registry], url: str) -> None:
    registry = new()
    registry.register_shipped(b"weights", b"config")
    with pytest.raises(ModelNotFound) as refusal:
        registry.resolve(url)
    assert url in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_files_that_are_gone_are_named(new: Callable[..., Registry], tmp_path: Path) -> None:
    registry = new()
    registry.register_shipped(b"weights", b"config")
    shutil.rmtree(tmp_path / "workspace" / "artifacts")
    with pytest.raises(ModelNotFound, match="its files are gone"):
        registry.resolve(CHAMPION)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("uri", ["silent", "refused", "ftp://elsewhere", "postgresql://u:p@127.0.0.1:9/none"])
def test_a_tracking_server_that_is_not_there_is_named(tmp_path: Path, uri: str) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if uri == "silent":
            silent.listen()  # accepts connections but never answers
        if uri in ("silent", "refused"):
            uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        registry = Registry(_settings(tmp_path, uri))
        for attempt in (lambda: registry.resolve(CHAMPION), lambda: registry.register_shipped(b"w", b"c")):
            with pytest.raises(TrackingUnreachable) as refusal:
                attempt()
            shown = uri.replace("u:p@", "***@")
            assert str(refusal.value).startswith(f"{shown}: ")
            assert "\n" not in str(refusal.value)


def test_a_broken_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreDamaged, match=r"mlflow\.db is damaged"):
        Registry(_settings(tmp_path)).resolve(CHAMPION)


def test_a_weights_file_needs_no_registry(tmp_path: Path) -> None:
    chosen = resolve_model(_settings(tmp_path / "none"), str(STUDENT_BASE))
    assert (chosen.name, chosen.version) == ("student-base", "file")
    assert isinstance(chosen.model_file, ModelFile)
    assert not (tmp_path / "none").exists()
