#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compare the guest's view of two hash page tables, entry by entry.

The tables are dumps from /sys/kernel/debug/kvm/PID-FD/htab: a line for each
entry in use, with its index, both hardware doublewords and the guest's second
doubleword, all in hexadecimal.  Two entries are equal if the guest can't tell
them apart: whether and where the host has the page mapped does not matter; the
reference and change bits do.

Exit status: 0 equal, 1 unequal, 2 trouble.
"""
import sys

V_VALID = 0x1
V_ABSENT = 0x20		# valid for the guest, the host's page is absent
V_HVLOCK = 0x40
V_HOST = V_VALID | V_ABSENT | V_HVLOCK
R_REFERENCED = 0x100
R_CHANGED = 0x80
V_SSIZE_SHIFT = 62	# the segment size, which is elsewhere from POWER9 on
R_3_0_SSIZE_SHIFT = 58
R_3_0_SSIZE = 3 << R_3_0_SSIZE_SHIFT
GR_MODIFIED = 1 << 62	# not the guest's: marks entries that are yet to be sent


class BadDump(Exception):
    """A line is not an entry."""


def load(path):
    """Return the guest's view of a dump: {index: (dword 0, dword 1)}."""
    entries = {}
    with open(path, encoding="ascii", errors="replace") as dump:
        for number, line in enumerate(dump, 1):
            try:
                index, v, r, guest = (int(x, 16) for x in line.split())
            except ValueError:
                raise BadDump(f"{path}:{number}: not an HPTE") from None
            if not v & (V_VALID | V_ABSENT):
                continue
            if v & V_VALID:
                guest |= r & (R_REFERENCED | R_CHANGED)
            size = (r & R_3_0_SSIZE) >> R_3_0_SSIZE_SHIFT
            entries[index] = (v & ~V_HOST | size << V_SSIZE_SHIFT,
                              guest & ~GR_MODIFIED)
    return entries


def diff(a, b):
    """List the indexes at which two views differ."""
    return sorted(i for i in a.keys() | b.keys() if a.get(i) != b.get(i))


def show(entry):
    """Describe one side of a difference."""
    return "none" if entry is None else f"{entry[0]:016x} {entry[1]:016x}"


def verdict(a, b):
    """Describe in a line whether two views are equal, and if not, where."""
    where = diff(a, b)
    if not where:
        return f"equal, {len(a)} entries"
    i = where[0]
    return (f"unequal in {len(where)} of {len(a.keys() | b.keys())} entries, "
            f"first at index {i:#x}: {show(a.get(i))} against {show(b.get(i))}")


def main(argv):
    if len(argv) != 3:
        print("Usage: hptdiff.py DUMP DUMP", file=sys.stderr)
        return 2
    try:
        a, b = load(argv[1]), load(argv[2])
    except (OSError, BadDump) as e:
        print(f"hptdiff: {e}", file=sys.stderr)
        return 2
    print(verdict(a, b))
    return 1 if diff(a, b) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
