"""`last demo`, with a list of everything outside of the process that it talks to.

python tests/watched_demo.py LIST --port PORT ...
"""

import sys

from last.cli import main

TALKS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "urllib.Request")


def watch(event: str, details: tuple) -> None:
    "Python tells this of every connection before it is made."
    if event in TALKS:
        with open(sys.argv[1], "a") as file:
            file.write(f"{event} {details[-1] if event == 'socket.connect' else details[0]!r}\n")


if __name__ == "__main__":
    sys.addaudithook(watch)
    sys.exit(main(["demo", *sys.argv[2:]]))
