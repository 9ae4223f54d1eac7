"""A workspace that version 0.1 wrote works without any step by its user, even in another folder.

`version_0_1.tar.gz` was written by 0.1.0: two registered students (seeds 0 and 1; the second is champion, the first
previous), two rows of `derained`, two crops in the pool, two rows in the ledger of promotions.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from infra.catalog.derained import Catalog, in_scope
from infra.catalog.pool import Pool
from infra.catalog.promotions import Ledger
from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from models.engine import Engine, choose_device, fast_dtype
from models.modelfile import build, pack
from tasks.promotion.transaction import roll_back
from tasks.resolved_model import resolve_model
from tests.support.samples.records import SCOPE, record
from tests.support.samples.students import random_student

PREDICT = """
import sys
import mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[2], model.predict(numpy.load(sys.argv[2])))
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    with tarfile.open(Path(__file__).with_name("version_0_1.tar.gz")) as packed:
        packed.extractall(tmp_path, filter="data")
    return Settings(workspace=str(tmp_path / "workspace"), _env_file=None)


def test_its_champion_serves_and_can_be_rolled_back(settings: Settings):
    champion = resolve_model(settings, CHAMPION_URL)
    assert (champion.version, champion.model_file) == ("2", pack(random_student(seed=1), {"seed": 1}))
    row = roll_back(settings, None, "run-2")
    assert (row.from_version, row.to_version) == ("2", "1")
    assert resolve_model(settings, CHAMPION_URL).model_file == pack(random_student(seed=0), {"seed": 0})
    decisions = [each.decision for each in Ledger(settings.workspace).rows(STUDENT)]
    assert decisions == ["adopted", "promoted", "rolled_back"]
    assert Registry(settings).aliases(STUDENT).previous == "2"


def test_its_catalog_is_read_and_written(settings: Settings):
    catalog = Catalog(settings.workspace)
    keys = [key for batch in catalog.scan(columns=["key"]) for key in batch["key"].to_pylist()]
    assert sorted(keys) == ["astronaut.png", "coffee.png"]
    catalog.commit([record("new.jpg")], replace=False)
    assert sum(batch.num_rows for batch in catalog.scan()) == 3
    assert sum(batch.num_rows for batch in catalog.scan(where=in_scope(SCOPE))) == 1


def test_its_pool_has_its_pixels(settings: Settings):
    pool = Pool(settings.workspace)
    crops = pool.crops("train")
    assert crops.height == pool.count() == 2
    assert all(crop[:64, :64].std() > 0 for crop in pool.pixels(crops))


@pytest.mark.slow
def test_its_registered_version_loads_in_mlflow(settings: Settings, tmp_path: Path):
    """Its copy of the pyfunc wrapper imports `models.engine` and `models.modelfile`, whose paths stay."""
    (config,) = (
        path
        for path in Path(settings.workspace, "artifacts", STUDENT).glob("*/artifacts/*/config.json")
        if '"seed": 1' in path.read_text()
    )
    photographs = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)
    np.save(tmp_path / "photographs.npy", photographs)
    command = [sys.executable, "-c", PREDICT, str(config.parent), str(tmp_path / "photographs.npy")]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    device = choose_device("auto")
    engine = Engine(build(pack(random_student(seed=1), {"seed": 1})), device, fast_dtype(device))
    np.testing.assert_array_equal(np.load(tmp_path / "photographs.npy"), engine.derain(photographs))
