from __future__ import annotations

import logging

import pytest
from tarragon.api import (
    ColdObject,
    NotFound,
    OutOfSpace,
    PermissionDenied,
    Transient,
    Unsupported,
    UserError,
    WrongSize,
)
from tarragon.store.retry import Retry


class Script:
    """An operation that meets errors in turn, then answers; and what it was told in between."""

    def __init__(self, *errors):
        self.errors, self.slept, self.again, self.calls = list(errors), [], 0, 0

    def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"

    def run(self, tries=5, delay_s=30, **keywords):
        def again():
            self.again += 1

        return Retry(tries, delay_s, self.slept.append, logging.getLogger("test")).run("work", self, again, **keywords)


def test_what_works_at_once_is_done_once_without_waiting():
    script = Script()
    assert (script.run(), script.calls, script.slept, script.again) == ("answer", 1, [], 0)


def test_a_passing_failure_is_waited_for_and_the_connection_made_anew():
    script = Script(Transient("a"), Transient("b"))
    assert (script.run(), script.calls, script.slept, script.again) == ("answer", 3, [30, 30], 2)


def test_after_the_last_try_the_error_is_raised_as_it_is():
    errors = [Transient(str(number)) for number in range(3)]
    script = Script(*errors)
    with pytest.raises(Transient) as caught:
        script.run(tries=3)
    assert (caught.value, script.calls, len(script.slept)) == (errors[2], 3, 2)


@pytest.mark.parametrize("tries", [0, 1])
def test_there_is_always_one_try(tries):
    script = Script(Transient("a"))
    with pytest.raises(Transient):
        script.run(tries=tries)
    assert script.calls == 1


@pytest.mark.parametrize(
    ("error", "waited"),
    [
        (Transient("x"), 10),
        (Transient("x", overloaded=True), 30),
        (Transient("x", retry_after=60), 60),
        (Transient("x", retry_after=1), 10),
        (Transient("x", retry_after=20, overloaded=True), 30),
    ],
)
def test_the_wait_is_the_delay_or_longer_where_the_far_side_asks(error, waited):
    script = Script(error)
    script.run(delay_s=10)
    assert script.slept == [waited]


@pytest.mark.parametrize("kind", [NotFound, PermissionDenied, OutOfSpace, ColdObject, Unsupported, UserError])
def test_what_will_not_pass_is_raised_at_once(kind):
    script = Script(kind("x"))
    with pytest.raises(kind):
        script.run()
    assert (script.calls, script.slept) == (1, [])


def test_other_classes_are_tried_again_where_the_caller_says_so():
    script = Script(WrongSize("x"))
    assert script.run(retried=(Transient, WrongSize)) == "answer"
    assert script.slept == [30]


def test_a_connection_that_cannot_be_made_anew_counts_as_a_try():
    script = Script(Transient("first"))

    def refuse():
        raise Transient("no connection")

    with pytest.raises(Transient, match="no connection"):
        Retry(3, 1, script.slept.append, logging.getLogger("test")).run("work", script, refuse)
    assert (script.calls, script.slept) == (1, [1, 1])
