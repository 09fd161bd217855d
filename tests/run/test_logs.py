"""The log files of a run: written, rotated, read, followed."""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devrun.errors import UsageError
from devrun.run.output.logfollow import Follower
from devrun.run.output.logreader import Record, joined, logged_services, parse_record, read_logs
from devrun.run.output.logs import GENERATIONS, LogFolder, Stream
from devrun.run.output.logtime import LocalTime, parse_since, stamp

STAMP = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "logs")


@pytest.fixture
def logs(folder):
    made = LogFolder(folder)
    yield made
    made.close()


def texts(records):
    return [record.text for record in records]


def numbered(service, first, last):
    return b"".join(b"%s %d\n" % (service.encode(), number) for number in range(first, last))


def test_each_line_carries_time_and_stream(logs, tmp_path):
    logs.file("web").write(Stream.STDERR, b"one\n\ntwo\n")
    logs.file("web").write(Stream.TTY, b"Password: ")
    lines = (tmp_path / "logs" / "web.log").read_bytes().split(b"\n")
    assert re.fullmatch(STAMP + rb" stderr F one", lines[0])
    assert re.fullmatch(STAMP + rb" stderr F ", lines[1])
    assert re.fullmatch(STAMP + rb" tty P Password: ", lines[3])


def test_log_files_are_for_their_owner_alone(logs, tmp_path):
    logs.file("web")
    assert os.stat(tmp_path / "logs").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "logs" / "web.log").st_mode & 0o777 == 0o600


def test_services_are_merged_in_the_order_of_arrival(logs, folder):
    for number in range(20):
        logs.file("web" if number % 3 else "api").write(Stream.STDOUT, b"%d\n" % number)
    assert texts(read_logs(folder, ["web", "api"])) == [b"%d" % number for number in range(20)]


def test_a_clock_that_goes_back_does_not_change_the_order(folder):
    moments = iter([10.0, 5.0, 5.0, 11.0])
    logs = LogFolder(folder, clock=lambda: next(moments))
    for name in ("b", "a", "b", "a"):
        logs.file(name).write(Stream.STDOUT, name.encode() + b"\n")
    logs.close()
    assert texts(read_logs(folder, ["a", "b"])) == [b"b", b"a", b"b", b"a"]


def test_rotation_keeps_three_files_of_bounded_size_and_the_newest_lines(folder):
    logs = LogFolder(folder, rotate_at=2000)
    for number in range(500):
        logs.file("web").write(Stream.STDOUT, numbered("web", number, number + 1))
    logs.close()
    sizes = [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)]
    assert len(sizes) == GENERATIONS
    assert max(sizes) <= 2000
    assert logged_services(folder) == ("web",)
    kept = texts(read_logs(folder, ["web"]))
    assert kept == [b"web %d" % number for number in range(500 - len(kept), 500)]
    assert len(kept) > 80


def test_a_run_folder_that_vanishes_is_said_once_and_made_up_for(folder):
    told = []
    logs = LogFolder(folder, rotate_at=100, on_trouble=told.append)
    log = logs.file("web")
    os.unlink(os.path.join(folder, "web.log"))
    os.rmdir(folder)
    for _ in range(10):
        log.write(Stream.STDOUT, b"x" * 80 + b"\n")
    assert len(told) == 1
    os.mkdir(folder)
    log.write(Stream.STDOUT, b"again\n")
    logs.close()
    assert texts(read_logs(folder, ["web"])) == [b"again"]


@pytest.mark.parametrize("age", [1, 2])
def test_a_log_that_cannot_be_moved_away_stays_bounded_and_keeps_the_newest_lines(folder, age):
    told = []
    logs = LogFolder(folder, rotate_at=2000, on_trouble=told.append)
    log = logs.file("web")
    os.mkdir(os.path.join(folder, f"web.log.{age}"))  # in the way, as a folder without permission would be
    for number in range(500):
        log.write(Stream.STDOUT, b"web %d\n" % number)
        assert os.path.getsize(os.path.join(folder, "web.log")) <= 2000
    logs.close()
    assert texts(read_logs(folder, ["web"]))[-1] == b"web 499"
    assert told == []


def test_pieces_are_read_as_the_line_they_make(logs, folder):
    log = logs.file("web")
    log.write(Stream.STDOUT, b"10% ")
    log.write(Stream.STDERR, b"warning\n")
    log.write(Stream.STDOUT, b"20% ")
    log.write(Stream.STDOUT, b"done\nnext\n")
    log.write(Stream.STDOUT, b"never ended")
    assert texts(read_logs(folder, ["web"])) == [b"warning", b"10% 20% done", b"next", b"never ended"]


def test_a_torn_record_is_shown_and_hides_nothing(logs, folder, tmp_path):
    log = logs.file("web")
    log.write(Stream.STDOUT, b"before\n")
    with open(tmp_path / "logs" / "web.log", "ab") as file:
        file.write(b"2026-07-29T12:00\n\xff\n\n")
    log.write(Stream.STDOUT, b"after\n")
    assert texts(read_logs(folder, ["web"])) == [b"before", b"2026-07-29T12:00", b"\xff", b"after"]


@given(st.binary())
def test_any_bytes_are_a_record(line):
    assert parse_record(line, "web", b"then").service == "web"


@pytest.mark.parametrize("count", [0, 1, 3, 700, 5000])
def test_the_last_lines_are_those_of_all_services_together(folder, count):
    logs = LogFolder(folder, rotate_at=20_000)
    for number in range(0, 1000, 10):
        logs.file("web" if number % 20 else "api").write(Stream.STDOUT, numbered("n", number, number + 10))
        logs.file("web").write(Stream.STDERR, b"")
    logs.close()
    everything = texts(read_logs(folder, ["web", "api"]))
    assert (
        texts(read_logs(folder, ["web", "api"], tail=count))
        == everything[len(everything) - min(count, len(everything)) :]
    )


def test_the_last_lines_are_counted_in_lines_not_in_pieces(logs, folder):
    log = logs.file("web")
    log.write(Stream.STDOUT, b"first\n")
    for number in range(50):
        log.write(Stream.STDOUT, b"%d " % number)
    log.write(Stream.STDOUT, b"end\nlast\n")
    whole = b"".join(b"%d " % number for number in range(50)) + b"end"
    assert texts(read_logs(folder, ["web"], tail=2)) == [whole, b"last"]
    assert texts(read_logs(folder, ["web"], tail=3)) == [b"first", whole, b"last"]


def test_since_leaves_out_what_is_older(folder):
    moments = iter([100.0, 200.0, 300.0])
    logs = LogFolder(folder, clock=lambda: next(moments))
    for number in range(3):
        logs.file("web").write(Stream.STDOUT, b"%d\n" % number)
    logs.close()
    assert texts(read_logs(folder, ["web"], since=stamp(150.0))) == [b"1", b"2"]
    assert texts(read_logs(folder, ["web"], since=stamp(150.0), tail=1)) == [b"2"]


def test_a_folder_or_file_that_is_missing_is_an_empty_log(folder):
    assert logged_services(folder) == ()
    assert list(read_logs(folder, ["web"])) == []
    assert Follower(folder, ["web"]).read() == []


def test_following_starts_where_the_history_ends(logs, folder):
    log = logs.file("web")
    log.write(Stream.STDOUT, b"old\n")
    follower = Follower(folder, ["web"])
    log.write(Stream.STDOUT, b"new\n")
    assert texts(read_logs(folder, ["web"], until=follower.marks)) == [b"old"]
    assert texts(follower.read()) == [b"new"]
    assert follower.read() == []
    follower.close()


def test_a_rotation_between_history_and_following_shows_each_line_once(folder):
    logs = LogFolder(folder, rotate_at=300)
    log = logs.file("web")
    log.write(Stream.STDOUT, numbered("old", 0, 3))
    follower = Follower(folder, ["web"])
    for number in range(6):
        log.write(Stream.STDOUT, numbered("new", number, number + 1))
    history = texts(read_logs(folder, ["web"], until=follower.marks))
    assert history == [b"old 0", b"old 1", b"old 2"]
    assert texts(follower.read()) == [b"new %d" % number for number in range(6)]
    follower.close()
    logs.close()


@pytest.mark.parametrize("burst", [1, 3, 7, 11])
def test_following_survives_every_rotation(folder, burst):
    logs = LogFolder(folder, rotate_at=600)
    follower = Follower(folder, logged_services(folder))
    follower.add(["web"])
    seen = []
    for number in range(0, 120, burst):
        for each in range(number, number + burst):
            logs.file("web").write(Stream.STDOUT, numbered("web", each, each + 1))
        seen += texts(follower.read())
    assert seen == [b"web %d" % number for number in range(len(seen))]
    assert len(seen) >= 120
    follower.close()
    logs.close()


def test_a_follower_that_was_outrun_goes_on_with_what_is_left(folder):
    logs = LogFolder(folder, rotate_at=300)
    logs.file("web").write(Stream.STDOUT, b"first\n")
    follower = Follower(folder, ["web"])
    for number in range(200):
        logs.file("web").write(Stream.STDOUT, numbered("web", number, number + 1))
    seen = texts(follower.read())
    assert seen[-1] == b"web 199"
    numbers = [int(text.split()[1]) for text in seen]
    assert numbers == sorted(set(numbers))
    follower.close()
    logs.close()


def test_a_record_that_is_half_written_is_not_shown_before_it_is_whole(logs, folder, tmp_path):
    logs.file("web").write(Stream.STDOUT, b"whole\n")
    path = tmp_path / "logs" / "web.log"
    record = path.read_bytes().replace(b"whole", b"halves")
    with open(path, "ab", buffering=0) as file:
        file.write(record[:20])
        follower = Follower(folder, ["web"])
        assert follower.read() == []
        file.write(record[20:])
    assert texts(follower.read()) == [b"halves"]
    follower.close()


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["stdout", "stderr"]), st.binary(), st.booleans()))
)
def test_joining_loses_and_reorders_nothing_of_a_stream(rows):
    records = [Record(b"t", service, stream, text, ended) for service, stream, text, ended in rows]
    whole = list(joined(records))
    assert all(record.ended for record in whole)
    for key in {(record.service, record.stream) for record in records}:
        before = b"".join(record.text for record in records if (record.service, record.stream) == key)
        assert b"".join(record.text for record in whole if (record.service, record.stream) == key) == before


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10m", 600), ("1.5h", 5400), ("45", 45), ("45s", 45), ("250ms", 0.25), ("2d", 172800), ("0", 0)],
)
def test_since_may_be_an_age(text, seconds):
    assert parse_since(text, now=1_800_000_000.0) == stamp(1_800_000_000.0 - seconds)


def test_since_may_be_a_clock_or_a_date():
    noon = time.mktime((2026, 7, 29, 12, 0, 0, 0, 0, -1))
    assert parse_since("11:30", now=noon) == stamp(noon - 1800)
    assert parse_since("9:30:15", now=noon) == stamp(noon - 9000 + 15)
    assert parse_since("2026-07-29T11:00", now=noon) == stamp(noon - 3600)
    assert parse_since("2026-07-29T11:00:00Z", now=noon) == b"2026-07-29T11:00:00.000000Z"
    assert parse_since("12:30", now=noon) < stamp(noon - 3600)


@pytest.mark.parametrize("text", ["", "yesterday", "-5m", "10 parsecs", "25:00", "2026-13-01", "9" * 400])
def test_since_that_is_no_time_is_a_usage_error(text):
    if text == "9" * 400:
        assert parse_since(text) == stamp(0)
    else:
        with pytest.raises(UsageError, match="is no time"):
            parse_since(text)


def test_times_of_records_are_shown_by_the_local_clock():
    moment = time.mktime((2026, 7, 29, 12, 0, 7, 0, 0, -1))
    assert LocalTime().show(stamp(moment)) == b"12:00:07 "
    assert LocalTime().show(b"") == b""
