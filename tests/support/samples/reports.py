"""Reports for tests, with photographs that scikit-image ships under added rain, and rejects with hostile keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from skimage import data

from infra.records import DerainRecord, Scope
from tasks.batch.report import Report, Sample
from tasks.batch.summary import Counts, RunSummary

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")  # part of the wheel: nothing is downloaded
STARTED = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
HOSTILE_KEYS = (
    "\"><script>window.hacked = 'script'</script>.jpg",
    "' onerror='window.hacked=1' x='<img src=x onerror=\"window.hacked = 1\">.jpg",
    "</bdi></th></tr></table></script><script>window.hacked = 2</script>",
    "{{ 7 * 7 }}{% raw %} %20 a+b#c?d=e&amp;f.jpg",
    "雨の写真/дождь/مطر/🌧️ two  spaces.jpg",
    "gnp.exe\u202egpj.elpmas",
    "camera-\udcff\x00\n.jpg",
    "/".join(["a-very-long-folder-name-without-any-space"] * 20) + ".jpg",
)


def record(key: str, **changes: object) -> DerainRecord:
    """Return a derained row."""
    row = DerainRecord(
        source="s3://traffic/2026/03",
        key=key,
        etag="0123456789abcdef",
        destination="s3://traffic-derained/2026/03",
        export="same-q92",
        size_bytes=123_456,
        height=512,
        width=512,
        status="derained",
        reason=None,
        output_key=key,
        output_sha256="ab" * 32,
        model_name="derain-student",
        model_version="3",
        model_digest="9f2c" * 16,
        run_id="7b9f3d6e-1c1b-4a55-9a0e-3f1a2b3c4d5e",
        rain_energy=0.0421,
        brightness=0.5,
        contrast=0.2,
        sharpness=0.1,
        derained_at=STARTED,
    )
    return replace(row, **changes)


def reject(key: str, reason: str = "truncated JPEG") -> DerainRecord:
    """Return a rejected row."""
    nothing = dict.fromkeys(("height", "width", "output_key", "output_sha256", "rain_energy"))
    return record(key, status="rejected", reason=reason, **nothing)


def sample(key: str, clean: np.ndarray, strength: float = 0.5) -> Sample:
    """Return a sample that is a photograph under added rain, with the photograph itself as derained version."""
    rainy = rained_on(clean, strength)
    energy = float(np.abs(rainy.astype(np.float64) - clean).mean() / 255)
    height, width = clean.shape[:2]
    return Sample(record(key, height=height, width=width, rain_energy=energy), rainy, clean)


def rained_on(clean: np.ndarray, strength: float, seed: int = 0) -> np.ndarray:
    """Add slanted bright streaks, which are seed points smeared along a diagonal."""
    draws = np.random.default_rng(seed).random(clean.shape[:2])
    streaks = np.zeros_like(draws)
    for step in range(28):
        streaks = np.maximum(streaks, np.roll(draws > 0.996, (step, step // 4), axis=(0, 1)))
    return np.clip(clean + 255 * strength * streaks[..., None], 0, 255).astype(np.uint8)


def listed() -> list[DerainRecord]:
    """Return the rows of 120 images with growing change, and those of the hostile keys, derained or rejected."""
    plain = [record(f"camera-{i % 3}/frame-{i:03}.png", rain_energy=i / 1000) for i in range(120)]
    hostile = [record(key, rain_energy=0.2) for key in HOSTILE_KEYS[:4]]
    return [*plain, *hostile, *(reject(key) for key in HOSTILE_KEYS[4:])]


def photographs() -> list[np.ndarray]:
    """Load the photographs, and a portrait cropped from one of them."""
    landscape = [getattr(data, name)() for name in PHOTOGRAPHS]
    return [*landscape, landscape[0][:, 120:400]]


def summary(counts: Counts | None = None, **changes: object) -> RunSummary:
    """Return the summary of a completed run."""
    counts = counts or Counts(listed=100, skipped=4, done_before=10, derained=86, rejected=8, pending=0)
    whole = RunSummary(
        run_id="7b9f3d6e-1c1b-4a55-9a0e-3f1a2b3c4d5e",
        state="Completed",
        message="",
        scope=Scope("s3://traffic/2026/03", "s3://traffic-derained/2026/03", "same-q92"),
        model_name="derain-student",
        model_version="3",
        model_digest="9f2c" * 16,
        started_at=STARTED,
        finished_at=STARTED + timedelta(seconds=41),
        counts=counts,
        pixels=140_000_000,
        wall_seconds=41.0,
    )
    return replace(whole, **changes)


def report(**changes: object) -> Report:
    """Return a report with real photographs, some under hostile keys, and a reject for every hostile key."""
    pictures = photographs()
    worst = [sample(f"camera-{i}/frame {i}.png", rgb, 0.9 - i / 10) for i, rgb in enumerate(pictures)]
    whole = Report(
        summary=summary(),
        worst=worst,
        random=[sample(HOSTILE_KEYS[i], picture, 0.4) for i, picture in enumerate(pictures[:4])],
        rejected=[reject(key) for key in HOSTILE_KEYS],
        rejected_total=len(HOSTILE_KEYS),
        images=listed(),
    )
    return replace(whole, **changes)
