"""Broken NTU files, made by code, each with what the reader has to say about it.

A row is (kind, content of the file, expected message). The message begins behind the file's name;
`None` stands for files that are unusual and whole: they must read as the good file does.
"""

import gzip

FRAMES, BODIES = 3, 2
BODY_LINES = 27  # the line of a body, the line `25`, 25 joints


def _joint(t: int, b: int, v: int) -> str:
    x, y = 0.1 * v - 1 + 0.01 * t, 0.07 * v - 0.8 + 0.5 * b
    z = 3 + 0.01 * v
    return f"{x:.6f} {y:.6f} {z:.6f} 250.1 180.2 900.3 400.4 0.1 0.2 0.3 0.4 2"


def good_lines(frames: int = FRAMES, bodies: int = BODIES) -> list[str]:
    "A whole file, line by line."
    lines = [str(frames)]
    for t in range(frames):
        lines.append(str(bodies))
        for b in range(bodies):
            lines.append(f"7205759403793110{b} 0 1 1 1 1 0 0.01 -0.02 2")
            lines += ["25", *(_joint(t, b, v) for v in range(25))]
    return lines


def _with(line: int, text: str) -> str:
    "The good file with another line (from 1)."
    lines = good_lines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


def _without(first: int, last: int) -> str:
    "The good file without some lines (from 1)."
    lines = good_lines()
    return "\n".join(lines[: first - 1] + lines[last:]) + "\n"


def _word(line: int, word: int, text: str) -> str:
    "The good file with another word in one line (both from 1)."
    words = good_lines()[line - 1].split(" ")
    words[word - 1] = text
    return _with(line, " ".join(words))


def _cut(line: int, part: str = "") -> str:
    "The good file, ending within a line (from 1)."
    return "\n".join([*good_lines()[: line - 1], part])


GOOD = "\n".join(good_lines()) + "\n"
LINES = GOOD.count("\n")
COUNT = "expected the frame count, found"
JOINT = "expected 12 numbers of joint 3 of 25 (frame 0 of 3), found"
BODY = "expected 10 values of body 0 in frame 0, found"

BROKEN: list[tuple[str, bytes | str, str | None]] = [
    # nothing, or something else
    ("empty", "", ": the file is empty"),
    ("blank lines alone", "\n\n \n", ": the file is empty"),
    ("a zip archive", b"PK\x03\x04" + bytes(range(128, 160)), ": not a text file (byte 4 is 0x80)"),
    ("compressed", gzip.compress(GOOD.encode(), mtime=0), ": not a text file (byte 1 is 0x8b)"),
    ("UTF-16", GOOD.encode("utf-16"), ": not a text file (byte 0 is 0xff)"),
    ("UTF-16 without a mark", GOOD.encode("utf-16-le"), f":1: {COUNT} '3\\x00'"),
    ("UTF-8 with a mark", GOOD.encode("utf-8-sig"), ": not a text file (byte 0 is 0xef)"),
    ("a page of HTML", "<!DOCTYPE html>\n<html>404</html>\n", f":1: {COUNT} '<!DOCTYPE html>'"),
    ("JSON", '{"skeletons": []}\n', f":1: {COUNT} '{{\"skeletons\": []}}'"),
    ("a zero byte", _word(7, 1, "0.1\x00"), f":7: {JOINT} '0.1\\x00"),
    # the frame count
    ("frames: a word", _with(1, "three"), f":1: {COUNT} 'three'"),
    ("frames: a fraction", _with(1, "3.0"), f":1: {COUNT} '3.0'"),
    ("frames: negative", _with(1, "-3"), f":1: {COUNT} '-3'"),
    ("frames: two numbers", _with(1, "3 3"), f":1: {COUNT} '3 3'"),
    ("frames: blank", _with(1, ""), f":1: {COUNT} ''"),
    ("frames: one too many", _with(1, "4"), f":{LINES + 1}: expected the body count of frame 3"),
    ("frames: one too few", _with(1, "2"), ":112: expected the end of the file after 2 frames"),
    ("frames: a billion", _with(1, "999999999"), f":{LINES + 1}: expected the body count of frame"),
    ("frames: 5,000 digits", _with(1, "9" * 5000), f":1: {COUNT} '9999"),
    # the body count
    ("bodies: a word", _with(2, "two"), ":2: expected the body count of frame 0, found 'two'"),
    ("bodies: negative", _with(2, "-1"), ":2: expected the body count of frame 0, found '-1'"),
    ("bodies: one too many", _with(2, "3"), ":57: expected 10 values of body 2 in frame 0"),
    ("bodies: one too few", _with(2, "1"), ":30: expected the body count of frame 1, found '7205"),
    ("bodies: a million", _with(2, "1000000"), ":57: expected 10 values of body 2 in frame 0"),
    ("bodies: missing", _without(2, 2), ":2: expected the body count of frame 0, found '7205"),
    # the line of a body
    ("body: nine values", _with(3, "72057594037931100 0 1 1 1 1 0 0.01 -0.02"), f":3: {BODY}"),
    ("body: eleven values", _with(3, "72057594037931100 0 1 1 1 1 0 0.0 0.0 2 2"), f":3: {BODY}"),
    ("body: line missing", _without(3, 3), f":3: {BODY} '25'"),
    ("body: the same id twice", _word(30, 1, "72057594037931100"), ":30: expected a new body id"),
    # the joint count
    ("joints: 24 said", _with(4, "24"), ":4: expected the joint count 25, found '24'"),
    ("joints: 26 said", _with(4, "26"), ":4: expected the joint count 25, found '26'"),
    ("joints: 24 there", _without(29, 29), ":29: expected 12 numbers of joint 25 of 25"),
    (
        "joints: 26 there",
        _with(29, "\n".join(good_lines()[28:29] * 2)),
        ":30: expected 10 values of body 1 in frame 0",
    ),
    ("joints: no number", _with(4, ""), ":4: expected the joint count 25, found ''"),
    # numbers
    ("number: a letter", _word(7, 2, "0.1x5"), f":7: {JOINT}"),
    ("number: decimal comma", _with(7, good_lines()[6].replace(".", ",")), f":7: {JOINT}"),
    ("number: three values in a line", _with(7, "0.1 0.2 3.0"), f":7: {JOINT} '0.1 0.2 3.0'"),
    ("number: one value lost", _with(7, " ".join(good_lines()[6].split()[1:])), f":7: {JOINT}"),
    ("number: thirteen values", _with(7, good_lines()[6] + " 2"), f":7: {JOINT}"),
    ("number: two glued together", _word(7, 1, "0.10.2"), f":7: {JOINT} '0.10.2"),
    ("number: two signs", _word(7, 1, "--0.1"), f":7: {JOINT} '--0.1"),
    ("number: thousands", _word(7, 1, "1_0"), f":7: {JOINT} '1_0"),
    ("number: hexadecimal", _word(7, 1, "0x1p3"), f":7: {JOINT} '0x1p3"),
    ("number: far away", _word(7, 1, "1e7"), ":7: expected metres in joint 3 of 25"),
    ("number: a power lost", _word(7, 1, "123456.7"), ":7: expected metres in joint 3 of 25"),
    ("number: an exponent alone", _word(7, 1, "e5"), f":7: {JOINT} 'e5"),
    ("number: a dot alone", _word(7, 1, "."), f":7: {JOINT} '. "),
    ("number: a minus alone", _word(7, 1, "-"), f":7: {JOINT} '- "),
    ("a blank line inside", _with(7, "\n" + good_lines()[6]), f":7: {JOINT} ''"),
    # cuts at every kind of line
    (
        "cut behind the frame count",
        _cut(2),
        ":2: expected the body count of frame 0, found the end",
    ),
    ("cut behind a body count", _cut(3), f":3: {BODY} the end of the file"),
    ("cut in the line of a body", _cut(3, "7205759 0 1 1"), f":3: {BODY} '7205759 0 1 1'"),
    ("cut behind the line of a body", _cut(4), ":4: expected the joint count 25, found the end"),
    ("cut in the joint count", _cut(4, "2"), ":4: expected the joint count 25, found '2'"),
    ("cut behind a joint", _cut(7), f":7: {JOINT} the end of the file"),
    ("cut in a joint", _cut(7, "0.1 0.2 3."), f":7: {JOINT} '0.1 0.2 3.'"),
    ("cut between two frames", _cut(57), ":57: expected the body count of frame 1, found the end"),
    # two things in one
    ("two files in one", GOOD + GOOD, f":{LINES + 1}: expected the end of the file after 3 frames"),
    ("a note at the end", GOOD + "# made by hand\n", f":{LINES + 1}: expected the end of the file"),
    (
        "binary behind the end",
        GOOD.encode() + b"\x00\xff",
        f": not a text file (byte {len(GOOD) + 1}",
    ),
    ("lines in disorder", _without(4, 4), ":4: expected the joint count 25, found '-1.0"),
    # nobody
    ("no frames", "0\n", ": no body in any of 0 frames"),
    ("no bodies", "3\n0\n0\n0\n", ": no body in any of 3 frames"),
    (
        "all joints lost",
        "\n".join(
            " ".join(["nan"] * 3 + line.split()[3:]) if line.count(" ") == 11 else line
            for line in good_lines()
        ),
        ": no body in any of 3 frames",
    ),
    # unusual, and whole
    ("line ends of Windows", GOOD.replace("\n", "\r\n"), None),
    ("mixed line ends", GOOD.replace("\n", "\r\n", 40), None),
    ("line ends of old Macs", GOOD.replace("\n", "\r"), None),
    ("no line end at the end", GOOD.rstrip("\n"), None),
    ("blank lines at the end", GOOD + "\n \n\n", None),
    ("tabs", GOOD.replace(" ", "\t"), None),
    ("two spaces", GOOD.replace(" 250.1", "  250.1"), None),
    ("spaces at the ends", GOOD.replace("\n", " \n"), None),
    ("a plus sign", GOOD.replace(" 3.0", " +3.0"), None),
    ("exponents", _word(7, 1, f"{float(good_lines()[6].split()[0]) * 1000:.6f}e-3"), None),
]


def ten_thousand_bodies() -> str:
    "One frame in which the sensor saw a crowd."
    lines = ["1", "10000"]
    joints = [_joint(0, 0, v) for v in range(25)]
    for b in range(10_000):
        lines += [f"{b} 0 1 1 1 1 0 0.01 -0.02 2", "25", *joints]
    return "\n".join(lines) + "\n"
