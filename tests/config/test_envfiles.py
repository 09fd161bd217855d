"""`.env` files: python-dotenv's reading, and errors where it has none."""

from __future__ import annotations

import pytest

SERVICES = "services: {a: {command: x}}\n"


def variables(folder, text, **options):
    folder.write(".env", text, raw=True)
    return folder.load(SERVICES, **options).env_files


def test_quotes_blanks_and_hashes_are_kept(folder):
    text = 'export A = "x # y" # note\nB=\'$HOME ${X}\'\nC=a#b\nD=\nE="two\nlines"\nF=${A}\n\n# end'
    assert variables(folder, text) == {
        "A": "x # y", "B": "$HOME ${X}", "C": "a#b", "D": "", "E": "two\nlines", "F": "${A}",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("A=1\n\nB='open\n", 3, "not a line"),
        ("A=1\nthis is nothing\n", 2, "not a line"),
        ("A=1\nNAME\n", 2, "a line without `=`"),
        ("A=1\n'x=y'=1\n", 2, "no name of a variable"),
        ('A="x" y\n', 1, "not a line"),
        ("=x\n", 1, "not a line"),
    ],
)
def test_a_line_that_cannot_be_read_is_an_error_with_its_number(folder, text, line, message):
    folder.write(".env", text, raw=True)
    error = folder.refuse(SERVICES)
    assert error.where == f".env:{line}:1"
    assert "NAME" not in error.message
    assert message in error.message


def test_an_empty_list_turns_it_off(folder):
    folder.write(".env", "A=1\n")
    assert folder.load("env_file: []\n" + SERVICES).env_files == {}


def test_later_files_win(folder):
    folder.write("one.env", "A=1\nB=1\n")
    folder.write("two.env", "B=2\n")
    text = "env_file: [one.env, {path: two.env}, {path: three.env, required: false}]\n"
    assert folder.load(text + SERVICES).env_files == {"A": "1", "B": "2"}
    assert folder.load("env_file: {path: one.env, required: no}\n" + SERVICES).env_files == {"A": "1", "B": "1"}


def test_a_required_file_that_is_missing_is_told_where_it_is_asked_for(folder):
    error = folder.refuse("env_file: [nope.env]\n" + SERVICES)
    assert error.where == "services.yaml:1:12"
    assert "required: false" in error.hint


def test_a_byte_order_mark_is_no_part_of_the_first_name(folder):
    folder.write(".env", b"\xef\xbb\xbfA=1\r\nB=2\r\n")
    assert folder.load(SERVICES).env_files == {"A": "1", "B": "2"}
