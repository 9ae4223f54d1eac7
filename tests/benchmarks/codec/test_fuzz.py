"""Tests of the fuzz benchmark: its damaged images are reproducible, and none of them breaks the decoder."""

import hashlib

import pytest

from benchmarks.codec import fuzz
from benchmarks.codec.fuzzed_images import fuzzed, good_images
from tasks.codec import ImageRejected, decode

LIMIT = 50_000_000
MANY = 1_000


def test_each_of_1000_fuzzed_images_is_decoded_or_rejected():
    good = good_images()
    outcomes = set()
    for number in range(MANY):
        try:
            decode(fuzzed(number, good)[1], LIMIT)
        except ImageRejected:
            outcomes.add("rejected")
        else:
            outcomes.add("accepted")
    assert outcomes == {"rejected", "accepted"}


def test_good_images_are_decoded():
    for name, data in good_images().items():
        assert decode(data, LIMIT).rgb.shape == (48, 64, 3), name


def test_a_number_stands_for_one_image():
    good = good_images()
    digests = [hashlib.sha256(fuzzed(number, good)[1]).digest() for number in range(200)]
    assert digests == [hashlib.sha256(fuzzed(number, good)[1]).digest() for number in range(200)]
    assert len(set(digests)) > 190


@pytest.mark.slow
def test_processes_report_every_image_and_lose_no_good_one():
    outcomes = list(fuzz.run(60))
    assert [outcome.number for outcome in outcomes] == list(range(60))
    assert {outcome.result for outcome in outcomes} <= {"rejected", "accepted"}
    assert [outcome.good_lost for outcome in outcomes].count(False) == 60 // fuzz.GOOD_AFTER


class Silent:
    """Stands in for the pipe of a process that hangs or dies after one image."""

    def __init__(self, dies: bool) -> None:
        self.dies = dies
        self.sent = [fuzz.Outcome(0, "jpg", "accepted", None, 0.0, 1)]

    def poll(self, seconds: float) -> bool:
        return bool(self.sent) or self.dies

    def recv(self) -> fuzz.Outcome:
        if not self.sent:
            raise EOFError
        return self.sent.pop()


@pytest.mark.parametrize(("dies", "what"), [(True, fuzz.CRASH), (False, fuzz.HANG)])
def test_a_process_that_dies_or_falls_silent_is_counted_against_the_image_that_it_was_at(dies, what):
    outcomes = list(fuzz._received(Silent(dies), 0))
    assert [(outcome.number, outcome.result) for outcome in outcomes] == [(0, "accepted"), (1, what)]
