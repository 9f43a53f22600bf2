"""Who may ask for bytes, and when the next one may."""

from __future__ import annotations

import threading

from nodes.agent.job import LocalJob
from nodes.agent.transfer import Transfer
from nodes.agent.turns import Turns
from tests.agent.transfers import assignment

JOB = LocalJob("a" * 32)
LENGTH = 1000


def transfer(shard: int) -> Transfer:
    return Transfer(assignment(shard), JOB)


def taking(turns: Turns, waiting: Transfer) -> threading.Event:
    """An event that is set once `waiting` has its turn."""
    has_it = threading.Event()

    def take() -> None:
        turns.take(waiting)
        has_it.set()

    turns.queue(waiting)
    threading.Thread(target=take, daemon=True).start()
    return has_it


def receive(turns: Turns, flowing: Transfer, amount: int) -> None:
    if flowing.first_byte is None:
        flowing.first_byte = flowing.asked
    flowing.received += amount
    flowing.moved += amount
    turns.counter(flowing, LENGTH)(amount)


def test_all_slots_but_one_flow_at_once() -> None:
    turns = Turns(3)
    first, second, third = transfer(1), transfer(2), transfer(3)
    turns.take(first)
    turns.take(second)
    receive(turns, first, 1)
    receive(turns, second, 1)
    waiting = taking(turns, third)
    assert not waiting.is_set()
    turns.leave(first)
    assert waiting.wait(60)
    assert third.follows is first


def test_the_next_one_asks_before_the_one_before_it_has_ended() -> None:
    turns = Turns(2)
    first, second = transfer(1), transfer(2)
    turns.take(first)
    receive(turns, first, 1)
    waiting = taking(turns, second)
    receive(turns, first, LENGTH - 1)
    assert waiting.wait(60)
    assert first.ended is None
    assert second.follows is first


def test_who_gets_no_answer_does_not_hold_up_the_next_one() -> None:
    turns = Turns(2)
    silent, second = transfer(1), transfer(2)
    turns.take(silent)
    assert taking(turns, second).wait(60)
    turns.leave(silent)
    turns.leave(second)
    third, fourth = transfer(3), transfer(4)
    turns.take(third)
    receive(turns, third, 1)
    assert third.follows in (silent, second)
    assert not taking(turns, fourth).is_set()  # the turn that was taken beyond the count was given back


def test_a_stopped_transfer_waits_no_longer() -> None:
    turns = Turns(2)
    first, second = transfer(1), transfer(2)
    turns.take(first)
    receive(turns, first, 1)
    waiting = taking(turns, second)
    second.stop("cancelled")
    assert waiting.wait(60)


def test_who_leaves_the_line_lets_those_behind_it_pass() -> None:
    turns = Turns(2)
    unneeded, second = transfer(1), transfer(2)
    turns.queue(unneeded)
    waiting = taking(turns, second)
    turns.leave(unneeded)
    assert waiting.wait(60)


def test_a_transfer_takes_a_turn_again_for_a_second_try() -> None:
    turns = Turns(2)
    first = transfer(1)
    turns.take(first)
    turns.leave(first)
    turns.leave(first)
    turns.take(first)
    assert first.left_at is None


def test_slots_are_changed_while_transfers_flow() -> None:
    turns = Turns(2)
    first, second, third = transfer(1), transfer(2), transfer(3)
    turns.take(first)
    receive(turns, first, 1)
    waiting = taking(turns, second)
    turns.set_slots(3)
    assert waiting.wait(60)
    receive(turns, second, 1)
    turns.set_slots(2)
    turns.leave(first)  # one that flowed too many: nobody gets its turn
    turns.queue(third)
    assert not turns._free
    turns.leave(second)
    turns.take(third)
    assert third.follows is second
