"""How many programs ran at once: each says when it begins and when it ends, in one file that all of them append to."""

from itertools import accumulate
from pathlib import Path

# the first ones wait until `meeting` run at once, or for ten seconds: how many may run decides, not how quick they are
BEGIN = """echo + >> {log} || exit 1
tries=0
until [ -e {log}.met ] || [ $tries = 100 ]; do
	[ $(($(grep -c + {log}) - $(grep -c -e - {log}))) -lt {meeting} ] || : > {log}.met
	sleep 0.1
	tries=$((tries + 1))
done
sleep 0.3
"""
END = "echo - >> {log}\n"


def counted(command: str, *, log: str, meeting: int) -> str:
    """A shell script around a command; `log` is the file, as the script sees it."""
    begin, end = BEGIN.format(log=log, meeting=meeting), END.format(log=log)
    return f"#!/bin/sh\n{begin}{command}\ncode=$?\n{end}exit $code\n"


def most_at_once(log: Path) -> int:
    """The largest number of programs between their beginning and their end; 0 if there were none."""
    return max(accumulate(1 if line == "+" else -1 for line in log.read_text().splitlines()), default=0)
