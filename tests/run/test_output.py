"""Lines on stdout: prefixes, unfinished lines, and bytes that would wreck a terminal."""

from __future__ import annotations

import os
import re
import select
import termios
import tty

import pytest

from devrun.run.output.logs import LogFolder, Stream
from devrun.run.output.multiplexer import PARTIAL_DELAY, PARTIAL_LIMIT, Multiplexer
from devrun.run.output.prefixes import Prefixes
from devrun.run.output.terminal import close_colours, plain, settled_length, tame

DEADLINE = 30.0


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


class Screen:
    """A multiplexer on a file (or another descriptor), with a clock of its own."""

    def __init__(self, path, *, names=("web", "api"), fd=None, **options):
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) if fd is None else fd
        self.clock = Clock()
        self.out = Multiplexer(names, fd=self.fd, clock=self.clock, **options)

    def source(self, name, stream=Stream.STDOUT):
        return self.out.add(name, stream)

    def wait(self, seconds=PARTIAL_DELAY):
        self.clock.now += seconds
        self.out.tick()

    @property
    def shown(self):
        with open(self.path, "rb") as file:
            return file.read()

    def close(self):
        self.out.close()
        os.close(self.fd)


@pytest.fixture
def screens(tmp_path):
    made = []

    def make(**options):
        made.append(Screen(tmp_path / f"screen{len(made)}", **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def screen(screens):
    return screens()


@pytest.fixture
def terminal(screens):
    """A screen on a pty in raw mode, and a function that reads so much of what a person would see."""
    master, slave = os.openpty()
    tty.setraw(slave, termios.TCSANOW)

    def sees(expected):
        seen = b""
        while len(seen) < len(expected) and select.select([master], [], [], DEADLINE)[0]:
            seen += os.read(master, 1 << 16)
        return seen == expected

    yield screens(fd=slave), sees
    os.close(master)


def test_names_are_aligned_and_every_line_has_a_prefix(screen):
    screen.out.feed(screen.source("web"), b"one\ntwo\n\nfour\n")
    screen.out.feed(screen.source("api", Stream.STDERR), b"five\n")
    assert screen.shown == b"web | one\nweb | two\nweb | \nweb | four\napi | five\n"


def test_the_longest_name_decides_the_width_even_when_it_comes_later(screen):
    screen.out.feed(screen.source("web"), b"a\n")
    screen.out.feed(screen.source("a-long-name"), b"b\n")
    screen.out.feed(screen.source("web"), b"c\n")
    assert screen.shown == b"web | a\na-long-name | b\nweb         | c\n"


def test_without_prefix_lines_are_as_they_are(screens):
    screen = screens(prefix=False)
    screen.out.feed(screen.source("web"), b"one\ntwo\n")
    assert screen.shown == b"one\ntwo\n"


def test_a_time_comes_before_the_name_and_stands_alone_without_prefix(screens):
    for prefix, expected in ((True, rb"\d\d:\d\d:\d\d web \| a\n"), (False, rb"\d\d:\d\d:\d\d a\n")):
        screen = screens(prefix=prefix, timestamps=True)
        screen.out.feed(screen.source("web"), b"a\na\n")
        assert re.fullmatch(expected * 2, screen.shown)


def test_a_partial_line_is_shown_within_half_a_second_and_continued_without_a_prefix(screen):
    web = screen.source("web")
    screen.out.feed(web, b"Continue? ")
    assert screen.shown == b""
    assert screen.out.next_deadline() <= screen.clock.now + 0.5
    screen.wait()
    assert screen.shown == b"web | Continue? "
    assert screen.out.next_deadline() is None
    screen.out.feed(web, b"yes\nnext\n")
    assert screen.shown == b"web | Continue? yes\nweb | next\n"


def test_a_partial_line_that_keeps_growing_is_shown_all_the_same(screen):
    web = screen.source("web")
    for _ in range(6):
        screen.out.feed(web, b".")
        screen.wait(0.1)
    assert screen.shown.startswith(b"web | ...")


def test_a_line_that_somebody_else_interrupted_goes_on_with_a_prefix_of_its_own(screen):
    web, api = screen.source("web"), screen.source("api")
    screen.out.feed(web, b"half")
    screen.wait()
    screen.out.feed(api, b"hello\n")
    screen.out.feed(web, b"whole\n")
    assert screen.shown == b"web | half\napi | hello\nweb | whole\n"


def test_an_interrupted_line_that_only_ends_is_not_followed_by_an_empty_one(screen):
    web, api = screen.source("web"), screen.source("api")
    screen.out.feed(web, b"half")
    screen.wait()
    screen.out.feed(api, b"hello\n")
    screen.out.feed(web, b"\nnext\n")
    assert screen.shown == b"web | half\napi | hello\nweb | next\n"


def test_the_other_stream_of_the_same_service_interrupts_too(screen):
    out, err = screen.source("web"), screen.source("web", Stream.STDERR)
    screen.out.feed(out, b"half")
    screen.wait()
    screen.out.feed(err, b"oops\n")
    assert screen.shown == b"web | half\nweb | oops\n"


def test_a_pending_line_does_not_tear_the_lines_of_others(screen):
    web, api = screen.source("web"), screen.source("api")
    screen.out.feed(web, b"slow ")
    screen.out.feed(api, b"quick\n")
    screen.out.feed(web, b"line\n")
    assert screen.shown == b"api | quick\nweb | slow line\n"


def test_the_last_line_is_ended_when_its_stream_ends(screen):
    web = screen.source("web")
    screen.out.feed(web, b"no newline")
    screen.out.end(web)
    api = screen.source("api")
    screen.out.feed(api, b"shown")
    screen.wait()
    screen.out.end(api)
    assert screen.shown == b"web | no newline\napi | shown\n"


def test_a_line_of_a_megabyte_is_whole(screen):
    web, api = screen.source("web"), screen.source("api")
    for _ in range(16):
        screen.out.feed(web, b"x" * 65536)
        screen.out.feed(api, b"tick\n")
    screen.out.feed(web, b"\n")
    assert b"web | " + b"x" * 16 * 65536 + b"\n" in screen.shown


def test_a_line_without_end_is_shown_in_pieces_and_keeps_memory_bounded(screen):
    web = screen.source("web")
    for _ in range(PARTIAL_LIMIT // 65536 + 2):
        screen.out.feed(web, b"x" * 65536)
    assert len(screen.shown) > PARTIAL_LIMIT
    assert screen.shown.count(b"web") == 1


def test_carriage_return_before_the_newline_is_dropped_wherever_the_chunks_end(screen):
    web = screen.source("web")
    screen.out.feed(web, b"one\r\ntwo\r")
    screen.wait()
    screen.out.feed(web, b"\nthree\r\r\n")
    assert screen.shown == b"web | one\nweb | two\nweb | three\n"


def test_bytes_that_are_no_text_pass_unchanged(screen):
    screen.out.feed(screen.source("web"), b"\x00\xff\xfe\x80 10%\r20%\n")
    assert screen.shown == b"web | \x00\xff\xfe\x80 10%\r20%\n"


def test_a_colour_left_open_ends_with_its_line(screen):
    screen.out.feed(screen.source("web"), b"\x1b[31mred\nplain\n\x1b[1mbold\x1b[0m\n\x1b[32m\x1b[Kx\n")
    assert screen.shown.split(b"\n")[:-1] == [
        b"web | \x1b[31mred\x1b[0m",
        b"web | plain",
        b"web | \x1b[1mbold\x1b[0m",
        b"web | \x1b[32m\x1b[Kx\x1b[0m",
    ]


def test_a_colour_open_in_a_partial_line_does_not_reach_the_next_speaker(screen):
    web = screen.source("web")
    screen.out.feed(web, b"\x1b[41m? ")
    screen.wait()
    screen.out.notice("careful")
    assert screen.shown == b"web | \x1b[41m? \x1b[0m\ndevrun | careful\n"


def test_colours_are_only_there_when_asked_for_and_stay_with_the_name(screens):
    plain, coloured = screens(), screens(colour=True)
    for screen in (plain, coloured):
        screen.out.feed(screen.source("web"), b"a\n")
    assert b"\x1b" not in plain.shown
    assert coloured.shown.startswith(b"\x1b[")
    assert coloured.shown.endswith(b"web | \x1b[0ma\n")
    alone, among = Prefixes(["web"], colour=True), Prefixes(["web", "api"], colour=True)
    assert alone.of("web") == among.of("web")
    ten = Prefixes([f"s{number}" for number in range(9)], colour=True)
    assert len({ten.of(f"s{number}")[:5] for number in range(9)}) == 9


def test_a_terminal_keeps_its_cursor_screen_title_and_character_set(terminal):
    screen, sees = terminal
    screen.out.feed(
        screen.source("web"),
        b"\x1b[?1049h\x1b[2J\x1b[H\x1bc\x1b]0;title\x07\x1b(0\x0e\x1b[5Aup\x1b[3\n\x1b]0;never ended\n\x1b[6nx\n",
    )
    assert sees(b"web | up\nweb | \nweb | x\n")


def test_a_progress_bar_keeps_its_prefix_on_a_terminal(terminal):
    screen, sees = terminal
    web = screen.source("web")
    screen.out.feed(web, b"10%\r20%\x1b[2K\x1b[1G30%")
    screen.wait()
    screen.out.feed(web, b"\r40%\r\n")
    assert sees(b"web | 10%\rweb | 20%\x1b[2K\rweb | 30%\rweb | 40%\n")


def test_a_piece_never_ends_inside_a_character_or_an_escape(screen):
    web = screen.source("web")
    screen.out.feed(web, "é".encode()[:1])
    screen.wait()
    assert screen.out.next_deadline() is None
    assert screen.shown == b""
    screen.out.feed(web, "é".encode()[1:] + b"\x1b[3")
    screen.wait()
    screen.out.feed(web, b"1mred\n")
    assert screen.shown == "web | é\x1b[31mred\x1b[0m\n".encode()


@pytest.mark.parametrize(
    "tail", [b"\r", b"\r\r", b"\x1b", b"\x1b[", b"\x1b[38;5", b"\x1b]0;ti", b"\xe2\x82", b"\xf0\x9f\x98"]
)
def test_unsettled_tails_wait(tail):
    assert settled_length(b"text" + tail) == 4


@pytest.mark.parametrize("text", [b"", b"text", b"a\rb", b"\x1b[31m", "😀".encode(), b"\xff", b"\x80\x80\x80\x80"])
def test_settled_text_does_not_wait(text):
    assert settled_length(text) == len(text)


def test_hygiene_of_hostile_lines_takes_linear_time():
    line = b"\x1b[1m\x1b]" * 200_000 + b"\n"
    assert close_colours(line).endswith(b"\n")
    assert b"\x1b]" not in tame(line)
    settled_length(line[:-1])


@pytest.mark.parametrize(
    ("line", "quoted"),
    [
        (b"\x1b[31mred\x1b[0m \x1b]0;title\x07one\x1b[K", "red one"),
        (b"10 %\r20 %\r", "20 %"),
        (b"a\tb\0\xff", "a       b\ufffd"),
    ],
)
def test_a_line_that_is_quoted_has_neither_colours_nor_what_was_overwritten(line, quoted):
    assert plain(line) == quoted


def test_notices_carry_devruns_name_and_no_escapes(screen):
    screen.out.notice("stopped 1 node\nhint: \x1b]0;evil\x07`devrun ps`")
    assert screen.shown == b"devrun | stopped 1 node\ndevrun | hint: \\x1b]0;evil\\a`devrun ps`\n"


def test_a_run_in_the_background_shows_nothing_and_keeps_everything(tmp_path):
    out = Multiplexer(["web"], fd=None, logs=LogFolder(str(tmp_path / "logs")))
    out.feed(out.add("web", Stream.STDOUT), b"kept\n")
    out.notice("noticed")
    assert (out.fileno(), out.events, out.is_congested, out.closed, out.flush(0)) == (None, 0, False, False, True)
    out.close()
    assert (tmp_path / "logs" / "web.log").read_bytes().endswith(b" stdout F kept\n")
    assert (tmp_path / "logs" / "devrun.log").read_bytes().endswith(b" notice F noticed\n")
