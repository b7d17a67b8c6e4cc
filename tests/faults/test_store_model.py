"""Stores on one folder against a dictionary, whatever befalls them: never a wrong octet.

Every body that is handed out is one that was put under that key for that variant, the last one,
and not removed since; nothing but what the port names is raised; and after any damage one
opening later at most, what is put is found.

``FORECACHE_MODEL_SECONDS`` says for how long to look, 30 by default. Longer runs begin with
another seed each time; what is printed of a failure is smaller than what was found first.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.support import ruins
from tests.support.failing import ERRORS, FOR_EVER
from tests.support.store_model import Model, Slot, Version
from tests.support.store_process import Refused, StoreProcess
from tests.support.stores import SMALLEST

pytestmark = pytest.mark.slow

SECONDS: Final = float(os.environ.get("FORECACHE_MODEL_SECONDS", "30"))
# One run of hypothesis; each has a seed of its own.
EXAMPLES: Final = 20
STEPS: Final = 40
# What hypothesis may add for making a failure small.
SHRINKING: Final = 330

HOSTS: Final = ("http://a.example/", "http://b.example/")
KEYS: Final = tuple(f"{host}{path}" for host in HOSTS for path in ("x", "y", "dir/z"))
PROBE: Final = "http://probe.example/"
SIZES: Final = (0, 10, 2_000, 2_500, 10_000, 30_000, 33_000, 100_000, 300_000, 700_000)
PACKED: Final = (2_500, 10_000, 30_000)
# How, what, and which keys that are.
PURGES: Final = (
    ("prefix", "http://a.example/", KEYS[:3]),
    ("prefix", "http://b.example/dir", KEYS[5:]),
    ("host", "b.example", KEYS[3:]),
    ("glob", "http://a.example/*", KEYS[:2]),
    ("glob", "http://*.example/**/z", (KEYS[2], KEYS[5])),
)
WAYS: Final = ("fast", "whole", "part")

keys = st.sampled_from(KEYS)
varies = st.sampled_from(("", "", "a", "b"))
whom = st.integers(0, 1)
sizes = st.sampled_from(SIZES)


class Stores(RuleBasedStateMachine):
    """One or two processes on a folder."""

    @initialize(memory=st.sampled_from((0, 2**20, 32 * 2**20)))
    def begin(self, memory: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="forecache-model-"))
        self.folder = self.root / "cache"
        self.memory = memory
        self.model = Model()
        self.processes: list[StoreProcess] = []
        self.refusing: set[StoreProcess] = set()
        self.hidden: defaultdict[StoreProcess, set[str]] = defaultdict(set)
        self.holding: set[StoreProcess] = set()
        self.start()

    def start(self) -> None:
        process = StoreProcess(self.folder, SMALLEST, self.memory)
        assert process.opened is True, (process.opened, process.faults)
        self.processes.append(process)

    def who(self, number: int) -> StoreProcess:
        return self.processes[number % len(self.processes)]

    @invariant()
    def no_faults(self) -> None:
        for process in getattr(self, "processes", ()):
            assert not process.faults, "\n".join(process.faults)

    # What clients do.

    @rule(who=whom, key=keys, vary=varies, size=sizes, spooled=st.booleans())
    def put(self, who: int, key: str, vary: str, size: int, spooled: bool) -> None:
        version = self.model.new((key, vary), size)
        process = self.who(who)
        answer = process.ask("put", key, version[0], vary, version[1], spooled, None)
        self.stored(process, (key, vary), version, answer)

    def stored(self, process: StoreProcess, slot: Slot, version: Version, answer: object) -> None:
        assert answer is True or process in self.refusing or self.model.hurt, answer
        self.model.put(slot, version, answer)
        if self.hidden[process] or self.model.hurt:
            self.model.must.discard(slot)

    @rule(who=whom, few=st.lists(st.tuples(keys, st.sampled_from(PACKED)), min_size=2, max_size=8))
    def put_together(self, who: int, few: list[tuple[str, int]]) -> None:
        process = self.who(who)
        wanted = {(key, ""): self.model.new((key, ""), size) for key, size in few}
        orders = [
            process.order("put", key, version[0], "", version[1], False, None)
            for (key, _), version in wanted.items()
        ]
        for number, (slot, version) in zip(orders, wanted.items(), strict=True):
            self.stored(process, slot, version, process.answer(number))

    @rule(who=whom, key=keys, size=sizes)
    def put_the_same(self, who: int, key: str, size: int) -> None:
        """Two at once: the last one stays, whichever it is."""
        process, slot = self.who(who), (key, "")
        versions = [self.model.new(slot, size), self.model.new(slot, size)]
        orders = [
            self.who(who + n).order("put", key, version[0], "", version[1], False, None)
            for n, version in enumerate(versions)
        ]
        answers = [self.who(who + n).answer(number) for n, number in enumerate(orders)]
        for version, answer in zip(versions, answers, strict=True):
            self.stored(process, slot, version, answer)
        if answers == [True, True]:
            self.model.may[slot] = {(f"body-{name}", time_) for name, time_ in versions}

    @rule(who=whom, key=keys, vary=varies, size=sizes)
    def put_what_was_fetched_before_a_removal(
        self, who: int, key: str, vary: str, size: int
    ) -> None:
        process = self.who(who)
        since = process.ask("since", key)
        self.remove(who + 1, key)
        version = self.model.new((key, vary), size)
        process.ask("put", key, version[0], vary, version[1], False, since)

    @rule(who=whom, key=keys, way=st.sampled_from(WAYS))
    def get(self, who: int, key: str, way: str) -> None:
        process = self.who(who)
        seen = process.ask("get", key, way)
        if key in self.hidden[process]:
            assert seen == []
            return
        self.model.check(key, seen)

    @rule(who=whom, key=keys)
    def update(self, who: int, key: str) -> None:
        now = self.model.tick()
        process = self.who(who)
        answer = process.ask("update", key, now)
        done = not isinstance(answer, Refused)
        assert done or process in self.refusing or self.model.hurt, answer
        ids = answer if done else [id_ for slot in self.model.ever for id_ in self.ids(slot)]
        self.model.update(key, ids, now, done and not self.model.hurt)

    def ids(self, slot: Slot) -> list[str]:
        return [id_ for id_, _ in self.model.may[slot]]

    @rule(who=whom, key=keys)
    def remove(self, who: int, key: str) -> None:
        process = self.who(who)
        done = process.ask("remove", key, None)
        assert done or process in self.refusing or self.model.hurt
        if not done:
            self.hidden[process].add(key)
        self.model.remove(key, done)

    @rule(who=whom, key=keys, vary=varies)
    def remove_one(self, who: int, key: str, vary: str) -> None:
        for id_ in self.ids((key, vary))[:1]:
            process = self.who(who)
            done = process.ask("remove", key, [id_])
            assert done or process in self.refusing or self.model.hurt
            if not done:
                self.hidden[process].add(key)
            self.model.remove(key, done, id_)

    @precondition(lambda self: not self.refusing)
    @rule(who=whom, purge=st.sampled_from(PURGES))
    def purge(self, who: int, purge: tuple[str, str, tuple[str, ...]]) -> None:
        """What the catalogue does not know, as it is damaged, is not removed."""
        how, what, wanted = purge
        answer = self.who(who).ask("purge", how, what)
        assert isinstance(answer, list) or self.model.hurt, answer
        if isinstance(answer, list):
            assert set(answer) <= set(wanted)
            for key in answer:
                self.model.remove(key, done=True)
        left = {key for key, _ in self.model.must} & set(wanted)
        assert not left, (left, answer)

    # What the house does.

    @rule(who=whom)
    def forget(self, who: int) -> None:
        self.who(who).ask("forget")

    @rule(who=whom)
    def search_for_orphans(self, who: int) -> None:
        self.who(who).ask("orphans")

    @precondition(lambda self: not self.refusing)
    @rule(who=whom, size=st.sampled_from((30_000, 3_900_000)))
    def flood(self, who: int, size: int) -> None:
        """More than there is room for."""
        process = self.who(who)
        self.model.must.clear()
        orders = []
        for number in range(18_000_000 // size // 4):
            name, now = self.model.new((f"{PROBE}{number}", ""), size)
            orders.append(process.order("put", f"{PROBE}{number}", name, "", now, False, None))
        for number in orders:
            process.answer(number)

    @rule(who=whom, key=keys)
    def hold(self, who: int, key: str) -> None:
        process = self.who(who)
        if process.ask("hold", key):
            self.holding.add(process)

    @rule(who=whom)
    def let_go(self, who: int) -> None:
        """What is removed meanwhile stays readable."""
        process = self.who(who)
        for one in process.ask("let_go"):
            assert one.state != "wrong", one
            assert self.model.hurt or one.state == "right", one

    @rule(who=whom)
    def restart(self, who: int) -> None:
        self.end(self.who(who))
        self.start()

    @precondition(lambda self: len(self.processes) == 1)
    @rule()
    def second(self) -> None:
        self.start()

    @precondition(lambda self: len(self.processes) == 2)
    @rule(who=whom)
    def end_one(self, who: int) -> None:
        self.end(self.who(who))

    def end(self, process: StoreProcess) -> None:
        """An orderly end, at which nothing is wrong."""
        if process in self.refusing:
            self.mend_one(process)
        self.processes.remove(process)
        process.close()
        assert not process.faults, "\n".join(process.faults)

    # What befalls it.

    @rule(
        who=whom,
        few=st.lists(st.tuples(keys, varies, sizes, st.booleans()), max_size=5),
        removed=st.one_of(st.none(), keys),
        moments=st.integers(0, 20),
    )
    def kill(
        self,
        who: int,
        few: list[tuple[str, str, int, bool]],
        removed: str | None,
        moments: int,
    ) -> None:
        """While it is asked to store, or to remove."""
        process = self.who(who)
        orders: list[tuple[int, Slot, Version]] = []
        for key, vary, size, spooled in few:
            version = self.model.new((key, vary), size)
            number = process.order("put", key, version[0], vary, version[1], spooled, None)
            orders.append((number, (key, vary), version))
        removing = None if removed is None else process.order("remove", removed, None)
        time.sleep(moments / 4000)
        process.kill()
        for _, slot, version in orders:
            self.model.put(slot, version, None)
        if removed is not None and removing is not None:
            done = process.answered(removing) and process.answer(removing) is True
            asked = {slot for _, slot, _ in orders}
            if done and not any(key == removed for key, _ in asked):
                self.model.remove(removed, done=True)
            else:
                self.model.remove(removed, done=False)
        self.processes.remove(process)
        self.refusing.discard(process)
        if not self.processes:
            self.start()

    @rule(
        kind=st.sampled_from(ruins.KINDS),
        number=st.integers(0, 3),
        at=st.integers(0, 2**22),
        head=st.booleans(),
        bit=st.integers(0, 7),
        idle=st.booleans(),
    )
    def flip(self, kind: str, number: int, at: int, head: bool, bit: int, idle: bool) -> None:
        """A bit, anywhere in any file."""
        if idle:
            self.close_all()
        path = ruins.file(self.folder, kind, number)
        if path is not None:
            self.damaged(kind)
            ruins.flip(path, at, bit, head=head)
        self.ensure_open()

    @rule(
        kind=st.sampled_from(ruins.KINDS),
        number=st.integers(0, 3),
        how=st.sampled_from(ruins.WAYS),
        at=st.integers(0, 2**22),
        idle=st.booleans(),
    )
    def ruin(self, kind: str, number: int, how: str, at: int, idle: bool) -> None:
        """What processes share as memory only while there are none: a cut map ends a process."""
        if idle or kind not in ("pack", "body"):
            self.close_all()
        path = ruins.file(self.folder, kind, number)
        if path is not None:
            self.damaged(kind)
            ruins.ruin(path, how, at)
        self.ensure_open()

    @rule(
        kinds=st.tuples(st.sampled_from(ruins.KINDS), st.sampled_from(ruins.KINDS)),
        numbers=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    )
    def swap(self, kinds: tuple[str, str], numbers: tuple[int, int]) -> None:
        if not {"pack", "body"}.issuperset(kinds):
            self.close_all()
        one, two = map(ruins.file, (self.folder,) * 2, kinds, numbers)
        if one is not None and two is not None and one != two:
            for kind in kinds:
                self.damaged(kind)
            ruins.swap(one, two, self.root / "between")
        self.ensure_open()

    def close_all(self) -> None:
        """All but one in order: of the last, killed, the logs stay."""
        for process in self.processes:
            process.kill()
        self.refusing.clear()
        self.processes.clear()

    def ensure_open(self) -> None:
        if not self.processes:
            self.start()

    def damaged(self, kind: str) -> None:
        self.model.lose()
        if kind in ruins.LOGS:
            self.model.rewound = True

    @rule(
        who=whom,
        first=st.integers(1, 60),
        error=st.sampled_from(sorted(ERRORS)),
        times=st.sampled_from((1, 2, FOR_EVER)),
    )
    def fail(self, who: int, first: int, error: str, times: int) -> None:
        """The operations on files of one process."""
        process = self.who(who)
        writing = error in ("ENOSPC", "EROFS")
        if not writing:
            self.model.lose()
        self.refusing.add(process)
        process.ask("fault", first, ERRORS[error], times, writing)

    @precondition(lambda self: self.refusing)
    @rule()
    def mend(self) -> None:
        for process in list(self.refusing):
            self.mend_one(process)

    def mend_one(self, process: StoreProcess) -> None:
        process.ask("mend")
        process.ask("settled")
        for key in self.hidden.pop(process, ()):
            self.model.remove(key, done=True)
        self.refusing.discard(process)

    @precondition(lambda self: not self.refusing)
    @rule()
    def stores_again(self) -> None:
        """With one opening later at most."""
        before = [self.refused(process) for process in self.processes]
        if any(before):
            self.restart_all()
            after = [self.refused(process) for process in self.processes]
            assert not any(after), (before, after)

    def restart_all(self) -> None:
        for process in self.processes:
            process.close()
        self.processes.clear()
        self.start()

    def refused(self, process: StoreProcess) -> list[Any]:
        """What came instead of what was put, [] if it came; the first may meet the damage."""
        answers: list[Any] = []
        for _ in range(2):
            slot = (f"{PROBE}here", "")
            version = self.model.new(slot, 5_000)
            answers.append(process.ask("put", slot[0], version[0], "", version[1], False, None))
            process.ask("forget")
            seen = process.ask("get", slot[0], "whole")
            if [(one.id, one.state) for one in seen] == [(f"body-{version[0]}", "right")]:
                return []
            answers.append(seen)
        return answers

    def teardown(self) -> None:
        if not hasattr(self, "processes"):
            return
        try:
            if self.processes:
                self.mend()
                self.stores_again()
                for process in self.processes:
                    process.close()
                    assert not process.faults, "\n".join(process.faults)
                self.processes.clear()
        finally:
            for process in self.processes:
                process.kill()
            shutil.rmtree(self.root)


def looked_into(number: int) -> None:
    """One run of hypothesis with that seed."""
    made = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
        derandomize=False,
        print_blob=True,
    )
    run_state_machine_as_test(seed(number)(Stores), settings=made)


@pytest.mark.timeout(SECONDS + SHRINKING)
def test_stores_against_a_dictionary() -> None:
    """The first runs are the same each time; with more time others follow."""
    until = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < until:
        looked_into(number if SECONDS <= 60 else secrets.randbits(32))
        number += 1
