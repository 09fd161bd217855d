"""Whatever the bytes and however they are cut: the same lines, each once, in their order."""

from __future__ import annotations

import os
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from devrun.run.output.logreader import read_logs
from devrun.run.output.logs import LogFolder, Stream
from devrun.run.output.multiplexer import PARTIAL_DELAY, Multiplexer
from devrun.run.output.terminal import close_colours, settled_length, tame

# Bytes that mean something to the code, more often than chance would have them.
HARD = st.sampled_from(
    [b"\n", b"\r", b"\r\n", b"\x1b", b"\x1b[", b"\x1b[31m", b"\x1b[0m", b"\x00", b"\xe2\x82\xac", b"\xff"]
)
texts = st.lists(st.one_of(HARD, st.binary(max_size=4), st.sampled_from([b"web | ", b"word"])), max_size=30).map(
    b"".join
)
chunks = st.lists(st.binary(max_size=6) | texts, max_size=12)


def lines_of(text):
    """The lines of a text as devrun has them: ended by LF, by CR LF (any number of CR) or by the end."""
    parts = text.split(b"\n")
    last = parts.pop()
    whole = [part.rstrip(b"\r") for part in parts]
    return [*whole, last.rstrip(b"\r")] if last else whole


def run(events, *, rotate_at=1 << 20):
    """Feed (source, chunk or None for a pause) and return what is on screen and in the logs."""
    now = [0.0]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "screen")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        out = Multiplexer(fd=fd, logs=LogFolder(folder, rotate_at=rotate_at), clock=lambda: now[0])
        sources = [out.add("web", Stream.STDOUT), out.add("web", Stream.STDERR), out.add("api", Stream.STDOUT)]
        for which, chunk in events:
            if chunk is None:
                now[0] += PARTIAL_DELAY
                out.tick()
            else:
                out.feed(sources[which], chunk)
        for source in sources:
            out.end(source)
        assert out.next_deadline() is None
        out.close()
        os.close(fd)
        with open(path, "rb") as file:
            shown = file.read()
        return shown, list(read_logs(folder, ["api", "web"]))


@given(st.lists(chunks, min_size=3, max_size=3), st.randoms(use_true_random=False))
def test_any_chunking_gives_the_same_lines_of_every_source(pieces, random):
    events = [(which, chunk) for which, parts in enumerate(pieces) for chunk in parts]
    order = sorted(range(len(events)), key=lambda _: random.random())
    cursors = [iter(parts) for parts in pieces]
    shuffled = [(events[at][0], next(cursors[events[at][0]])) for at in order]
    with_pauses = [each for event in shuffled for each in ([event, (0, None)] if random.random() < 0.3 else [event])]
    _, records = run(with_pauses)
    for which, (service, stream) in enumerate([("web", "stdout"), ("web", "stderr"), ("api", "stdout")]):
        kept = [each.text for each in records if (each.service, each.stream) == (service, stream)]
        assert kept == lines_of(b"".join(pieces[which]))


@given(chunks, chunks)
def test_without_pauses_the_screen_has_exactly_the_lines_of_each_service(one, other):
    events = [(0, chunk) for chunk in one]
    for at, chunk in enumerate(other):
        events.insert(2 * at + 1, (2, chunk))
    shown, _ = run(events)
    for name, text in ((b"web | ", b"".join(one)), (b"api | ", b"".join(other))):
        ended = text if text.endswith(b"\n") or not text else text + b"\n"
        expected = close_colours(ended) if b"\r\n" not in ended else None
        found = [line.removeprefix(name) for line in shown.split(b"\n") if line.startswith(name)]
        if expected is not None:
            assert found == expected.split(b"\n")[:-1]
        assert len(found) == len(lines_of(text))


@given(chunks, st.lists(st.booleans(), max_size=12))
def test_pauses_change_nothing_on_screen_while_one_speaks_alone(parts, pauses):
    plain = [part.replace(b"\x1b", b"") for part in parts]
    paused = []
    for at, part in enumerate(plain):
        paused.append((0, part))
        if at < len(pauses) and pauses[at]:
            paused.append((0, None))
    assert run(paused)[0] == run([(0, part) for part in plain])[0]


@given(texts, st.integers(min_value=60, max_value=400))
def test_records_come_in_order_of_time_and_rotation_keeps_the_newest(text, rotate_at):
    _, records = run([(0, bytes([byte])) for byte in text], rotate_at=rotate_at)
    assert [each.time for each in records] == sorted(each.time for each in records)
    expected = lines_of(text)
    kept = [each.text for each in records]
    assert kept == expected[len(expected) - len(kept) :] or rotate_at < 400


@given(st.binary(max_size=200))
def test_a_tamed_block_keeps_its_lines_and_only_harmless_escapes(block):
    tamed = tame(block)
    assert tamed.count(b"\n") == block.count(b"\n")
    for part in tamed.split(b"\x1b")[1:]:
        assert part.startswith(b"[")
    assert settled_length(block) <= len(block)


@settings(max_examples=50)
@given(texts.map(lambda text: text.replace(b"\n", b"")))
def test_no_colour_outlives_its_line(text):
    closed = close_colours(b"\x1b[7m" + text + b"\n")
    assert closed.endswith((b"\x1b[0m\n", b"\x1b[m\n")) or b"\x1b[0m" in text or b"\x1b[m" in text
