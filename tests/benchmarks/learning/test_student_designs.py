from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.common.tables import write_table
from benchmarks.learning import student_designs
from benchmarks.learning.student_designs import DESIGNS, DesignRow, GatedBlock, LargeKernelBlock, read
from models.networks.student import Student, StudentConfig
from tests.support.samples.students import random_pictures


def test_merged_branches_give_the_same_features():
    torch.manual_seed(1)
    block = LargeKernelBlock(8)
    features = torch.randn(2, 8, 12, 16)
    apart = block(features)
    block.merge()
    assert sum(isinstance(part, nn.Conv2d) for part in block.modules()) == 3
    torch.testing.assert_close(block(features), apart)
    block.merge()  # again changes nothing
    torch.testing.assert_close(block(features), apart)


@pytest.mark.parametrize("block", [LargeKernelBlock, GatedBlock])
def test_a_student_of_other_blocks_takes_any_size(block):
    student = Student(StudentConfig(widths=(8, 8, 8)), block)
    assert student(random_pictures(1, 3, 19, 26)).shape == (1, 3, 19, 26)


def test_designs_have_unique_names_and_include_the_shipped_ones():
    assert len({design.name for design in DESIGNS}) == len(DESIGNS)
    assert {"small", "base"} <= {design.name.split("(")[-1].rstrip(")") for design in DESIGNS}


def test_a_table_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(student_designs, "RESULTS", tmp_path / "designs.csv")
    rows = [DesignRow(each.name, 10, 150.0, 7, 31.5, 23.0, 30.0, 29.0, 24.0, 33.0, 120.5) for each in DESIGNS]
    write_table(rows, tmp_path / "designs.csv")
    assert read() == rows


def test_designs_without_a_current_table_are_to_be_trained_first(tmp_path, monkeypatch):
    monkeypatch.setattr(student_designs, "RESULTS", tmp_path / "designs.csv")
    with pytest.raises(SystemExit, match=r"designs\.csv: missing or out of date; train the designs first"):
        read()
    (tmp_path / "designs.csv").write_text("design,parameters\ndense,10\n")
    with pytest.raises(SystemExit, match="out of date"):
        read()
