"""The machine of rules sees it when the ledger's script forgets a check.

A mutant is the shipped script with some text replaced. It runs on the real server, alone (no
second ledger to compare it with) and without a gate at the device: what a gate would catch must
not hide what the ledger let through. The gate without its ledger is in test_gate_flock.py.
"""

import itertools
from importlib.resources import files

import pytest

from orchestrator.adapters.ledgers.embedded_server import LiveServer
from orchestrator.domain.errors import IllegalTransition
from tests.contract.ledger_machine import EXAMPLES_PER_SEED, run_machine
from tests.contract.ledger_rigs import RedisRig

MOST_SEEDS = 40
STEPS = 80

MUTANTS: dict[str, list[tuple[str, str]]] = {
    "no fence check": [
        ("return get(id, 'fence') == fence and", "do return true end return"),
    ],
    "the name of the holder is not checked": [("\n    and about('holder') == worker\n", "\n")],
    "no absorb check": [
        (
            "if not is_in(state, 'acquired,unreduced') then",
            "if not is_in(state, 'acquired,unreduced,measured,invalid,abandoned,cancelled') then",
        ),
        (" or state ~= 'running' then return { 'lost'", " then return { 'lost'"),
        (" or not is_in(get(id, 'state'), 'leased,running') then", " then"),
    ],
    "no floor": [
        ("math.max(tonumber(about('fence') or '0'), tonumber(floor))", "(about('fence') or '0')"),
    ],
    "recovery begins while leased": [
        ("if not is_in(state, expected)\n", "if not is_in(state, expected .. ',leased')\n"),
    ],
    "recovery of a ready instrument though nothing was lost": [
        ("next_state == 'recovering' and went_back) then", "next_state == 'recovering') then"),
    ],
    "a fault is cleared that is none": [("if about('state') ~= 'fault' then", "if false then")],
    "recovery is ended by anyone": [
        ("(next_state ~= 'recovering' or (", "(next_state == 'recovering' and (")
    ],
    "recovery is taken from the living": [("and not is_over(about('until')))", "and false)")],
    "a remark is counted": [
        (
            "redis.call('HSETNX', campaign, 'remark:' .. key, '1') == 0 then",
            "id ~= '' and set(id, 'state', 'acquired') then",
        ),
    ],
    "a valid lease expires": [("then return { 'no', 'valid' } end", "then end")],
    "somebody else's death ends a lease": [
        ("elseif dead ~= about('holder') then", "elseif false then")
    ],
    "a death after the start is taken for one before": [
        ("local moved = get(trial, 'state') == 'running'", "local moved = false"),
    ],
    "leased though the instrument is not ready": [
        ("if about('state') ~= 'ready' then", "if false then")
    ],
    "leased though the campaign is paused": [("if status() ~= 'running' then", "if false then")],
    "leased without leaving the queue": [("redis.call('LPOP', queue)", "")],
    "queued twice": [
        (
            "redis.call('LPUSH', queue, id) end",
            "redis.call('LPUSH', queue, id) redis.call('LPUSH', queue, id) end",
        )
    ],
    "queued again at the end": [
        ("redis.call('LPUSH', queue, id)", "redis.call('RPUSH', queue, id)")
    ],
    "a second start is a second attempt": [
        ("if state == 'running' then return { 'ok', get(id, 'attempts') } end", ""),
        ("if state ~= 'leased' then return { 'lost'", "if false then return { 'lost'"),
    ],
    "a trial that was never measured is corrected": [
        (
            "if state ~= 'measured' then return { 'no', state",
            "if not state then return { 'no', state",
        )
    ],
    "a correction that was sent twice": [
        ("if get(id, 'corrected') == data then return { 'ok' } end", "")
    ],
    "a question that was sent twice": [("if get(id, 'question') ~= question then", "if true then")],
    "a plan that has ended asks": [
        (
            "if not holds(id, fence, worker) or get(id, 'state') ~= 'running' then\n",
            "if not get(id, 'state') then\n",
        )
    ],
    "an answer to another question": [
        ("or get(id, 'question') ~= question or get(id, 'answer') then", "then")
    ],
    "an answer sent again is refused": [
        ("if get(id, 'answered') == data then return { 'ok' } end", "")
    ],
    "leased without the approval that it needs": [
        ("if needs_approval(trial) and not get(trial, 'approved') then", "if false then")
    ],
    "approved for ever": [(", id .. ':answer', id .. ':approved')", ", id .. ':answer')")],
    "approved with other parameters": [("  redis.call('HDEL', trials, id .. ':approved')\n", "")],
    "an approval of parameters that have changed": [
        ("or count(id, 'revision') ~= tonumber(revision) or not needs", "or not needs")
    ],
    "an approval that was sent twice": [("if get(id, 'approved') then return { 'ok' } end", "")],
    "leased though its sample is used up": [
        ("if sample and left(sample) < 1 then", "if false then"),
    ],
    "a start that spends no sample": [
        ("redis.call('HINCRBY', campaign, 'left:' .. sample, -1)", "")
    ],
    "a trial under way is cancelled": [
        (
            "if not is_in(state, 'queued,suspect') then",
            "if not is_in(state, 'queued,leased,suspect') then",
        ),
    ],
    "a proposal with any number": [("then return { 'no', 'number' } end", "then end")],
    "a trial under way gets other parameters": [
        ("if get(id, 'state') ~= 'queued' or count(id, 'attempts') > 0 then", "if false then"),
    ],
    "a trial that was started gets other parameters": [
        (" or count(id, 'attempts') > 0 then return { 'no', 'started' }", " then return { 'no' }"),
    ],
    "a revision with any number": [("then return { 'no', 'revision' } end", "then end")],
    "an order that was sent twice": [
        ("'order') == kind .. data then return { 'ok' } end", "'order') == 0 then end")
    ],
    "an order sent again is judged by the status that it made": [
        (
            "if redis.call('HGET', campaign, 'order') == kind",
            "if is_in(status(), expected) and redis.call('HGET', campaign, 'order') == kind",
        )
    ],
    "a clearing sent again is refused": [
        ("if about('cleared') == reason then return { 'ok' } end", "")
    ],
    "a decision sent again is refused": [
        ("if get(id, 'resolved') == kind .. data then return { 'ok' } end", "")
    ],
    "an end without the newest events": [("then return { 'no', 'newer events' } end", "then end")],
    "an entry that is chained to nothing": [
        (
            "local covered = { last[1] or '', last[2] or '', unpack(fields) }",
            "local covered = { '', '', unpack(fields) }",
        ),
    ],
    "a head that stays behind": [
        ("redis.call('HSET', campaign, 'chain', chain, 'last', id)", ""),
    ],
    "a trial that is leased for ever": [
        (
            "if count(trial, 'grants') - count(trial, 'attempts') >= tonumber(most_grants) then",
            "if false then",
        )
    ],
}
FOUND_BEFORE = {
    "the name of the holder is not checked": 6,
    "recovery is ended by anyone": 1,
    "recovery is taken from the living": 1,
    "a correction that was sent twice": 4,
    "a trial under way is cancelled": 2,
    "leased though its sample is used up": 5,
    "a trial that was started gets other parameters": 4,
    "a clearing sent again is refused": 8,
    "a decision sent again is refused": 3,
}
"""Seeds under which a mutant was seen, tried first: they save time and prove nothing. After a
change to the machine a hunt may take longer; `pytest -rP` prints the line to put here."""


@pytest.mark.timeout(600)  # a hunt takes from a second to a minute, by luck
@pytest.mark.parametrize("name", MUTANTS)
def test_the_machine_sees_what_is_missing(
    name: str, server: LiveServer, lab_name: str, few_grants: None
) -> None:
    script = files("orchestrator.adapters.ledgers").joinpath("ledger.lua").read_text()
    for text, instead in MUTANTS[name]:
        assert script.count(text) == 1, f"{script.count(text)} places in ledger.lua read {text!r}"
        script = script.replace(text, instead)
    programs = itertools.count()

    def make() -> list[RedisRig]:
        return [RedisRig(server.url, f"{lab_name}-{next(programs)}", script)]

    found_before = FOUND_BEFORE.get(name, 0)
    for seed in (found_before, *(one for one in range(MOST_SEEDS) if one != found_before)):
        try:
            run_machine(make, seed, steps=STEPS, shrink=False)
        except (AssertionError, IllegalTransition) as caught:
            print(f"\n{name!r}: {seed},  # by program {next(programs)}: {caught}")
            return
    pytest.fail(f"nothing was seen in {MOST_SEEDS * EXAMPLES_PER_SEED} programs")
