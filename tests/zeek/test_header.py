"""Headers of Zeek tables: directives, repeated headers, bare lines of column names."""

from __future__ import annotations

import pytest

from mlids.errors import NotAZeekLogError
from mlids.zeek.header import Header, apply_directive, decode_escapes, header_of_names
from mlids.zeek.lines import is_directive
from tests.conftest import CONN_HEADER, conn_line
from tests.zeek.conftest import read_log


def test_a_new_header_in_the_middle_never_shifts_a_column() -> None:
    other = CONN_HEADER.replace("\tservice\tduration", "\tduration\tservice").replace(
        "\tenum\tstring\tinterval", "\tenum\tinterval\tstring"
    )
    swapped = conn_line("CSwapped").split("\t")
    swapped[7], swapped[8] = swapped[8], swapped[7]
    frame, report = read_log(CONN_HEADER + conn_line("CFirst") + "#close\t2024-04-19-01-00-00\n" + other + "\t".join(swapped))
    assert frame["service"].to_list() == ["ssl", "ssl"] and frame["duration"].to_list() == [1.5, 1.5]
    assert report.rejected == 0


def test_a_column_added_in_the_middle() -> None:
    wider = CONN_HEADER.replace("tunnel_parents\n", "tunnel_parents\tip_proto\n").replace("set[string]\n", "set[string]\tcount\n")
    frame, _ = read_log(CONN_HEADER + conn_line() + wider + conn_line().rstrip("\n") + "\t6\n")
    assert frame["ip_proto"].to_list() == [None, 6]


def test_a_hash_inside_and_at_the_start_of_a_value() -> None:
    header = "#separator \\x09\n#unset_field\t-\n#path\thttp\n#fields\turi\tuid\n#types\tstring\tstring\n"
    frame, report = read_log(header + "/a#b\tC1\n\\x23c\tC2\n", "http.log")
    assert frame["uri"].to_list() == ["/a#b", "#c"] and report.rejected == 0


def test_other_separators() -> None:
    text = "#separator |\n#set_separator|;\n#empty_field|EMPTY\n#unset_field|*\n#path|ssh\n#fields|ts|uid|tags\n#types|time|string|set[string]\n1.5|C1|a;b\n2.5|*|EMPTY\n"
    frame, _ = read_log(text, "ssh.log")
    assert frame["tags"].to_list() == [["a", "b"], []] and frame["uid"].to_list() == ["C1", None]


def test_names_of_csv_re_exports_and_zeek_cut() -> None:
    piped, _ = read_log("ts|uid|id.orig_h|conn_state|label\n1.5|C1|10.0.0.1|SF|Benign\n", "conn.log.labeled.csv")
    comma, _ = read_log('ts,uid,id.orig_h,conn_state,label\n1.5,C1,10.0.0.1,SF,"Malicious, sort of"\n2.5,C2,,,\n', "conn.csv")
    zeek_cut, _ = read_log("uid\tservice\thistory\nC1\t-\tShADadFf\n")
    assert piped["label"].to_list() == ["Benign"]
    assert comma["label"].to_list() == ["Malicious, sort of", None]
    assert zeek_cut.select("uid", "service", "history").rows() == [("C1", None, "ShADadFf")]


def test_rows_without_a_header_are_an_error_that_says_what_to_do() -> None:
    with pytest.raises(NotAZeekLogError, match="header"):
        read_log("#separator \\x09\n" + conn_line())


def test_directives_and_comments_are_distinguished() -> None:
    assert (
        is_directive(b"#fields\tts")
        and is_directive(b"#close\t2024")
        and not is_directive(b"#fieldset")
        and not is_directive(b"# a comment")
    )


def test_types_and_fields_of_different_number_are_an_error() -> None:
    header = apply_directive(Header(), "#fields\tts\tuid", "conn.log line 7")
    with pytest.raises(NotAZeekLogError, match=r"conn\.log line 8: #types names 1 columns, #fields 2"):
        apply_directive(header, "#types\ttime", "conn.log line 8")


def test_a_separator_line_resets_the_header() -> None:
    header = apply_directive(Header(unset_field="*", path="dns"), r"#separator \x2c", "x")
    assert header == Header(separator=",")


def test_a_repeated_column_gets_a_suffix() -> None:
    assert [c.name for c in apply_directive(Header(), "#fields\tuid\tuid", "x").columns] == ["uid", "uid_2"]


@pytest.mark.parametrize("line", ["a,b,c", "Lorem ipsum", "uid,2,3", "uid,proto", ""])
def test_other_lines_are_not_taken_for_column_names(line: str) -> None:
    assert header_of_names(line) is None


def test_escaped_bytes_that_are_not_utf8_stay_escaped() -> None:
    assert decode_escapes(r"a\xc3\xa9b\xff\x09") == r"aéb\xff\x09"
