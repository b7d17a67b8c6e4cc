"""Records in on the loop, lines out on a thread; nothing blocks, nothing is lost unsaid."""

import os
import stat
import subprocess
import sys
import time
import timeit
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.admin import accesslog
from proxy.admin.accesslog import BUFFERED, OCTETS, AccessLog, LogOptions, open_log
from proxy.exchange.record import ExchangeRecord, What
from proxy.policy.reasons import Reason


def record(status: int = 200) -> ExchangeRecord:
    what = What("GET", "http://a.example/", 1, status, sent=100, reason=Reason.HIT)
    return ExchangeRecord(start=1700000000.0, elapsed=0.001, client="127.0.0.1", what=what)


def statuses(text: str) -> list[str]:
    return [line.split()[3].partition("/")[2] for line in text.splitlines()]


def test_off_is_no_observer_at_all() -> None:
    assert open_log(LogOptions(access="off")) is None


def test_close_writes_what_is_buffered(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("earlier\n")
    log = open_log(LogOptions(access=str(path)))
    assert log
    log.observe(record(200))
    log.observe(record(404))
    log.close()
    first, *rest = path.read_text().splitlines(keepends=True)
    assert first == "earlier\n"
    assert statuses("".join(rest)) == ["200", "404"]
    assert log.dropped == 0


@pytest.mark.parametrize("form", ["squid", "combined", "json"])
def test_the_format_is_the_one_asked_for(form: str, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LogOptions(access=str(path), format=form))  # type: ignore[arg-type]
    log.observe(record())
    log.close()
    expected = {"squid": "1700000000.001", "combined": "127.0.0.1 - -", "json": '{"time":'}
    assert path.read_text().startswith(expected[form])


def test_stdout_stays_open(capfd: pytest.CaptureFixture[str]) -> None:
    log = AccessLog(LogOptions(access="-"))
    log.observe(record())
    log.close()
    os.write(1, b"after\n")
    line, after = capfd.readouterr().out.splitlines()
    assert statuses(line) == ["200"]
    assert after == "after"


def test_a_folder_that_is_not_there_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "no" / "access.log"
    with pytest.raises(FileNotFoundError, match=f"cannot open the access log {path}: No such file"):
        open_log(LogOptions(access=str(path)))


def test_the_log_is_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    AccessLog(LogOptions(access=str(path))).close()
    assert not stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO


def test_rotation(tmp_path: Path) -> None:
    path, rotated = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(LogOptions(access=str(path)))
    log.observe(record(201))
    path.rename(rotated)
    os.mkfifo(path)
    log.reopen()
    # Opening either end of a FIFO waits for the other: from here on the log has reopened.
    with path.open() as reader:
        log.observe(record(202))
        log.close()
        assert statuses(reader.read()) == ["202"]
    assert statuses(rotated.read_text()) == ["201"]


def test_a_failed_rotation_goes_on_with_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    log = AccessLog(LogOptions(access=str(folder / "access.log")))
    folder.rename(tmp_path / "old")
    log.reopen()
    log.observe(record())
    log.close()
    assert statuses((tmp_path / "old" / "access.log").read_text()) == ["200"]
    assert "No such file" in caplog.text


def test_a_full_disk_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    log = AccessLog(LogOptions(access="/dev/full"))
    log.observe(record())
    log.close()
    assert log.dropped == 1
    assert "No space left on device" in caplog.text
    assert "1 dropped" in caplog.text


def test_when_the_disk_has_room_again_there_is_a_log_again(tmp_path: Path) -> None:
    """What was lost waits no more, however long nothing could be written."""
    path = tmp_path / "access.log"
    path.symlink_to("/dev/full")
    seen: list[int] = []
    log = AccessLog(LogOptions(access=str(path)), [lambda batch: seen.append(len(batch.records))])
    total = OCTETS // 1000
    for number in range(total):
        log.observe(record()._replace(what=replace(record().what, user_agent=f"{number:02000}")))
        if number % 100 == 99:
            while log._records:
                log._wake.set()
                time.sleep(0.001)
    assert log._refused == 0
    path.unlink()
    log.reopen()
    while log._reopening:
        time.sleep(0.001)
    log.observe(record(206))
    log.close()
    assert statuses(path.read_text()) == ["206"]
    assert sum(seen) == total + 1


def test_a_reader_that_does_not_read_blocks_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(LogOptions(access=str(path)))
    total = 2 * BUFFERED
    for _ in range(total):
        log.observe(record())
    refused = log.dropped
    assert refused > 0
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor) as reader:
        lines = [reader.readline() for _ in range(total - refused)]
        log.close()
        assert reader.read() == ""
    assert statuses("".join(lines)) == ["200"] * (total - refused)
    assert log.dropped == refused
    assert f"cannot keep up: {refused} records dropped" in caplog.text


def test_37_what_waits_is_bounded_in_octets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(LogOptions(access=str(path), format="combined"))
    one, total = record(), 5000
    for number in range(total):
        agent = f"{number:02000}"
        log.observe(one._replace(what=replace(one.what, user_agent=agent)))
    refused = log.dropped
    assert (total - refused) * 2000 < OCTETS
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor) as reader:
        lines = [reader.readline() for _ in range(total - refused)]
        log.close()
        assert reader.read() == ""
    assert all(line.endswith(" hit\n") for line in lines)
    assert log.dropped == refused
    assert f"cannot keep up: {refused} records dropped" in caplog.text


def test_37_what_says_the_same_is_counted_once(tmp_path: Path) -> None:
    log = AccessLog(LogOptions(access=str(tmp_path / "access.log")))
    long = record()._replace(what=replace(record().what, user_agent="x" * 2000))
    for _ in range(OCTETS // 2000 + 1000):
        log.observe(long)
    log.close()
    assert log.dropped == 0


def test_37_there_is_room_again_when_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(LogOptions(access=str(path)))
    for turn in range(4):
        for number in range(OCTETS // 4000):
            agent = f"{turn}{number:02000}"
            log.observe(record()._replace(what=replace(record().what, user_agent=agent)))
        until = time.monotonic() + 10
        while log._records or log._writing.whats:
            assert time.monotonic() < until
            time.sleep(0.01)
    log.close()
    assert log.dropped == 0
    assert path.read_text().count("\n") == 4 * (OCTETS // 4000)


def test_a_non_blocking_stdout_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    monkeypatch.setattr(accesslog, "STDOUT", writing)
    log = AccessLog(LogOptions(access="-"))
    for _ in range(5000):
        log.observe(record())
    log.reopen()
    with os.fdopen(reading) as reader:
        lines = [reader.readline() for _ in range(5000)]
        log.close()
        os.close(writing)
        assert reader.read() == ""
    assert statuses("".join(lines)) == ["200"] * 5000


def test_one_record_costs_the_loop_less_than_two_microseconds(tmp_path: Path) -> None:
    log = AccessLog(LogOptions(access=str(tmp_path / "access.log")))
    one = record()
    best = min(timeit.repeat(lambda: log.observe(one), number=1000, repeat=10)) / 1000
    log.close()
    assert best < 2e-6


@pytest.mark.parametrize("written", [True, False])
def test_others_get_the_records_whether_or_not_they_are_written(
    tmp_path: Path, *, written: bool
) -> None:
    taken: list[int] = []
    access = str(tmp_path / "access.log") if written else "off"
    log = open_log(LogOptions(access=access), [lambda batch: taken.append(len(batch.records))])
    assert log is not None
    log.observe(record())
    log.observe(record())
    log.reopen()
    log.close()
    assert sum(taken) == 2


def test_whoever_cannot_count_does_not_end_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("cannot count")

    path = tmp_path / "access.log"
    log = open_log(LogOptions(access=str(path)), [broken])
    assert log is not None
    log.observe(record())
    log.close()
    assert "1 records were not counted" in caplog.text
    assert len(path.read_text().splitlines()) == 1


TAKEN = """
import fcntl, sys
file = open(sys.argv[1], "ab")
fcntl.lockf(file, fcntl.LOCK_EX)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("pipe", [True, False], ids=["pipe", "file"])
def test_processes_take_turns_at_a_pipe(
    pipe: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, turns = tmp_path / "access.log", tmp_path / "turns"
    monkeypatch.setattr(accesslog, "CLOSE_TIMEOUT", 0.2)
    os.mkfifo(path) if pipe else path.touch()
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    log = open_log(LogOptions(access=str(path)), turns=turns)
    assert log
    with subprocess.Popen(
        [sys.executable, "-c", TAKEN, str(turns)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as another:
        assert another.stdout
        another.stdout.readline()
        log.observe(record(200))
        log.close()  # in vain, where it waits for its turn
        if pipe:
            with pytest.raises(BlockingIOError):
                os.read(reading, 1000)
        else:
            assert statuses(os.read(reading, 1000).decode()) == ["200"]
    log._thread.join(5)
    if pipe:
        assert statuses(os.read(reading, 1000).decode()) == ["200"]
    os.close(reading)
