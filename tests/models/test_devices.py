"""Devices and number formats that the engine chooses."""

from __future__ import annotations

import pytest
import torch

from models.engine import choose_device, fast_dtype
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric

CPU = torch.device("cpu")


def test_devices():
    assert choose_device("cpu") == CPU
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "tpu", "", "gpu:0"])
def test_devices_that_are_not_there_are_named(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device '{name}'"):
        choose_device(name)


def test_a_number_past_the_last_device_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(ValueError, match="device 'cuda:2': this machine has cuda:0 to cuda:1"):
        choose_device("cuda:2")


@pytest.mark.parametrize(("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_gpu_computes_in_bf16_where_it_can(monkeypatch, supported, dtype):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    assert fast_dtype(torch.device("cuda")) == dtype


@pytest.mark.parametrize(
    ("flags", "dtype"),
    [("avx512f avx512_bf16", torch.bfloat16), ("amx_bf16", torch.bfloat16), ("avx2", torch.float32)],
)
def test_a_processor_computes_in_bf16_where_it_says_so(monkeypatch, tmp_path, flags, dtype):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"flags : {flags}\n")
    monkeypatch.setattr("models.engine.Path", lambda _: cpuinfo)
    assert fast_dtype(CPU) == dtype


@pytest.mark.parametrize(("dtype", "precision"), [(torch.bfloat16, "bf16-mixed"), (torch.float32, "32-true")])
def test_trainings_compute_in_the_fast_dtype_too(monkeypatch, dtype, precision):
    monkeypatch.setattr("models.training.fabric.fast_dtype", lambda device: dtype)
    fabric = launch_fabric("cpu", TrainConfig().precision)
    assert fabric._precision.precision == precision


def test_a_processor_that_says_nothing_computes_in_fp32(monkeypatch, tmp_path):
    monkeypatch.setattr("models.engine.Path", lambda _: tmp_path / "absent")
    assert fast_dtype(CPU) == torch.float32
