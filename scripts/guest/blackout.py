#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate HPT guests between two QEMUs, and measure what stands still.

usage: blackout.py LIMIT QEMU,QEMU.. CASE:ORDER..

Runs inside an emulated host, which scripts/bench/migrate boots. The guest of
each case is migrated from each QEMU to the next one, as they are named: "plain",
which is Debian's, and "patched". LIMIT is the downtime limit in milliseconds. It
is only raised for a migration that does not complete within 30 seconds, or more
if there are many HPTEs, which is its result then.

The streams go through a file, and are looked at when the guest is running
again, so that this takes nothing from the downtime.

A guest enters HPTEs page by page, which takes long if there are millions. So in
the case "large" it is saved when it runs, HPTEs are added to the stream, and the
source loads that. They map the guest's RAM in a segment that it does not use.

Each line that begins with "row" is a migration. After that word there are, each
after a tab, what FIELDS names.
"""
import fnmatch
import itertools
import os
import re
import shutil
import struct
import subprocess
import sys
import time

import hptdiff
from pseries import (Failure, Machine, MiB, SavedStream, Sections, make_socket,
                     migrate_info, migrated, say, unbroken)

FIELDS = ("case", "source", "destination", "order", "limit",
          # In ms
          "downtime", "total",
          # Of the stream, those while the guest stood still, passes, orders
          "bytes", "last", "passes", "orders",
          # Nanoseconds of CPU time of both QEMUs; the source's with its guest
          "read", "load",
          # By the monitor, and those that failed
          "lookups", "failed",
          # 1 if both sides have the same, - if not compared
          "equal", "trouble")

CHAIN = ("plain", "plain", "patched", "patched", "plain")
PATIENCE, HPTES_PER_SECOND = 30, 100000
LINES = 3
LOOKUPS = 100
KERNEL = 0xc000000000010000
FAST, SLOW = 1 << 30, 16 << 20
STREAM, PIPE = "/tmp/stream", "/tmp/stream.pipe"
SAVED, ENLARGED = "/tmp/saved", "/tmp/enlarged"


class Case:
    """A guest, and what happens to it while it migrates."""

    def __init__(self, fill=0.0, add=0.0, idle=True, resize=False,
                 lookups=False):
        # Parts of the HPT: that the guest fills, that are added
        self.fill = fill
        self.add = add
        self.idle = idle
        self.resize = resize
        self.lookups = lookups

    def hptes(self, order):
        """The least number that are valid."""
        return int((self.fill + self.add) * (1 << order - 4))

    def guest(self, order):
        """Arguments for Machine. Unless resized, maxmem sets the order."""
        if self.resize:
            return {"memory": "512M"}
        hptes = int(self.fill * (1 << order - 4))
        return {
            "memory": f"512M,maxmem={1 << order - 13}M,slots=1",
            "machine": ",resize-hpt=disabled",
            "append": f"fill={hptes}{' workers=0' * self.idle}",
        }


CASES = {
    "full": Case(fill=0.5),
    "large": Case(add=0.5),
    "empty": Case(),
    "busy": Case(idle=False),
    "lookups": Case(idle=False, lookups=True),
    "resize": Case(idle=False, resize=True),
}


class Enlarged(Sections):
    """Copies a stopped guest's stream, and adds HPTEs to the last section.

    They are in the last slots of each group, as many as asked for, unless the
    guest has its own there. Those of a group have different pages, which hash
    to it.
    """

    GROUP = 8
    V_VALID, V_1T, V_AVPN_SHIFT = 1, 1 << 62, 7
    # Only to be read, and referenced
    R_FLAGS = 0x113
    # A segment whose number does not change the group
    VSID, SEGMENT_SHIFT, PAGE_SHIFT, AVPN_SHIFT = 1 << 23, 40, 12, 23
    # Map different pages of this size, up to this address
    REAL_SHIFT, REAL_END = 16, 256 * MiB

    def __init__(self, source, destination, share):
        super().__init__()
        self.each = round(share * self.GROUP)
        # Slots, by group
        self.used = {}
        self.added = 0
        with open(source, "rb", MiB) as self.source, \
             open(destination, "wb", MiB) as self.destination:
            self.follow()
            shutil.copyfileobj(self.source, self.destination, MiB)

    def skip_records(self):
        """Leave them to count_record()."""

    def count_record(self, index, valid, invalid):
        super().count_record(index, valid, invalid)
        for at in range(index, index + valid):
            self.used.setdefault(at // self.GROUP, set()).add(at % self.GROUP)

    def follow_hpt(self):
        super().follow_hpt()
        if self.kind != self.SECTION_END:
            return
        # Over the end of the records
        self.destination.seek(-self.RECORD.size, os.SEEK_CUR)
        groups_shift = self.hpt_shift - 7
        # In these, all that have the same slot have equal HPTEs
        run = 1 << min(self.AVPN_SHIFT - self.PAGE_SHIFT, groups_shift)
        for first in range(0, 1 << groups_shift, run):
            self.add(range(first, first + run), groups_shift)
        self.destination.write(self.RECORD.pack(0, 0, 0))

    def hpte(self, page):
        va = self.VSID << self.SEGMENT_SHIFT | page << self.PAGE_SHIFT
        real = (va >> self.AVPN_SHIFT) << self.REAL_SHIFT
        return struct.pack(">QQ", self.V_VALID | self.V_1T |
                           va >> self.AVPN_SHIFT << self.V_AVPN_SHIFT,
                           real % self.REAL_END | self.R_FLAGS)

    def add(self, groups, groups_shift):
        first = self.GROUP - self.each
        hptes = [self.hpte(slot << groups_shift | groups[0])
                 for slot in range(self.each)]
        body = b"".join(hptes)
        records = []
        for group in groups:
            index = group * self.GROUP + first
            if group not in self.used:
                records.append(self.RECORD.pack(index, self.each, 0) + body)
                continue
            free = [i for i in range(self.each)
                    if first + i not in self.used[group]]
            records += [self.RECORD.pack(index + i, 1, 0) + hptes[i]
                        for i in free]
            self.added += len(free) - self.each
        self.added += len(groups) * self.each
        self.destination.write(b"".join(records))


def cpu_time(machine):
    """Nanoseconds of CPU time of a QEMU."""
    # The kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
    return time.clock_gettime_ns(~machine.process.pid << 3 | 2)


numbers = itertools.count(1)


def start(kind, case, order, *options):
    return Machine(f"guest{next(numbers)}", *options,
                   program=f"/usr/bin/qemu-{kind}", **case.guest(order))


def start_first(kind, case, order):
    """A source that runs its guest. Return what the guest printed before."""
    machine, text = start(kind, case, order), ""
    try:
        machine.wait_for_lines(LINES, limit=900)
        if case.add:
            machine.call("stop")
            machine.call("migrate", uri=f"exec:busybox cat >{SAVED}")
            while not migrated(machine):
                time.sleep(0.1)
            text = machine.text()
            machine.kill()
            added = Enlarged(SAVED, ENLARGED, case.add).added
            say(f"loading it with {added:,} more HPTEs")
            machine = start(kind, case, order, "-S", "-incoming",
                            f"exec:busybox cat {ENLARGED}")
            machine.wait_for_arrival()
            machine.call("cont")
            machine.wait_for_lines(LINES, limit=900)
    except (Failure, OSError):
        machine.kill()
        raise
    finally:
        for path in SAVED, ENLARGED:
            if os.path.exists(path):
                os.unlink(path)
    return machine, text


class Migration:
    """A migration of a guest to a QEMU of a kind."""

    def __init__(self, case, order, limit, source, kind, text):
        self.case = case
        self.order = order
        self.limit = limit
        self.source = source
        self.kind = kind
        # What the guest has printed in the machines before the source
        self.text = text
        self.destination = None
        self.resize_at = None
        self.read = self.load = 0
        self.row = dict.fromkeys(FIELDS, "-")
        self.row.update(order=order, lookups=0, failed=0, trouble="")

    def disturb(self):
        """Disturb the guest. Return whether that is over."""
        if self.case.resize:
            if self.resize_at is None:
                self.resize_at = len(self.source.text())
                with make_socket("") as console:
                    console.connect(f"{self.source.dir}/console")
                    console.sendall(b"r")
                    time.sleep(0.5)
            said = re.search(r"^resize: .*: (.*)$\n",
                             self.source.text()[self.resize_at:], re.M)
            if said and said[1].strip() != "done":
                self.row["trouble"] = f"no resize: {said[1].strip()}"
            return bool(said)
        if self.case.lookups:
            self.row["lookups"] += 1
            answer = self.source.qmp.hmp(f"x/1x {KERNEL:#x}")
            self.row["failed"] += not fnmatch.fnmatch(answer, "*: 0x*")
            return self.row["lookups"] >= LOOKUPS
        return True

    def begin(self):
        os.mkfifo(PIPE)
        self.destination = start(self.kind, self.case, self.order, "-S",
                                 "-incoming", f"exec:busybox cat {PIPE}")
        disturbed = self.case.resize or self.case.lookups
        self.source.call("migrate-set-parameters", **{
            "max-bandwidth": SLOW if disturbed else FAST,
            "downtime-limit": self.limit})
        self.read = -cpu_time(self.source)
        self.load = -cpu_time(self.destination)
        self.source.call("migrate", uri=f"exec:busybox tee {STREAM} >{PIPE}")

    def wait(self):
        patience = PATIENCE + self.case.hptes(self.order) // HPTES_PER_SECOND
        end = time.monotonic() + patience
        quiet = late = False
        while True:
            status, _, info = migrate_info(self.source)
            if status == "completed":
                break
            if status not in ("setup", "active", "device"):
                raise Failure(f"{status}: {info.get('error-desc', 'no reason')}")
            if status == "active" and not quiet and self.disturb():
                quiet = True
                self.source.call("migrate-set-parameters",
                                 **{"max-bandwidth": FAST})
            if not late and time.monotonic() > end:
                late = True
                self.row["trouble"] = f"no end in {patience} s"
                self.source.call("migrate-set-parameters", **{
                    "max-bandwidth": FAST, "downtime-limit": 600000})
            time.sleep(0.05 if quiet else 0.005)
        if self.case.resize and not quiet and not self.row["trouble"]:
            self.row["trouble"] = "it was complete before the resize"
        self.read += cpu_time(self.source)
        self.row.update(downtime=info["downtime"], total=info["total-time"])
        while self.destination.status() == "inmigrate":
            if self.destination.process.poll() is not None:
                raise Failure("the destination exited")
            time.sleep(0.05)
        self.load += cpu_time(self.destination)
        self.row.update(read=self.read, load=self.load)

    def compare(self):
        """Compare both HPTs, unless there are too many HPTEs for that."""
        if self.case.hptes(self.order):
            return
        before = self.source.dump_hpt("source")
        after = self.destination.dump_hpt("destination")
        self.row["equal"] = int(not hptdiff.diff(before, after))
        if not self.row["equal"]:
            raise Failure(hptdiff.verdict(before, after))

    def go_on(self):
        self.text += self.source.text()
        self.source.kill()
        self.destination.call("cont")
        self.destination.wait_for_lines(LINES, limit=900)
        good, why = unbroken(self.text + self.destination.text())
        if not good:
            raise Failure(why)

    def look_at_stream(self):
        if not os.path.exists(STREAM):
            return
        stream = SavedStream(STREAM)
        self.row.update(order=stream.hpt_shift or self.order,
                        bytes=stream.hpt_bytes, last=stream.hpt_last,
                        passes=stream.hpt_passes, orders=stream.hpt_orders)
        if not self.row["trouble"] and \
           stream.valid < self.case.hptes(self.order):
            self.row["trouble"] = f"only {stream.valid} HPTEs were sent"

    def run(self):
        """Return the machine that the guest is in, or None."""
        machine = None
        try:
            self.begin()
            self.wait()
            self.compare()
            self.go_on()
            machine = self.destination
        except (Failure, OSError) as e:
            self.row["trouble"] = f"{self.row['trouble']} {e}".strip()
        for each in self.source, self.destination:
            if each and each is not machine:
                each.kill()
        self.look_at_stream()
        for path in STREAM, PIPE:
            if os.path.exists(path):
                os.unlink(path)
        return machine


def run_case(name, order, limit, chain=CHAIN):
    """Run the chain of a case. Return how many migrations had trouble."""
    case, machine, text, bad = CASES[name], None, "", 0
    for source, destination in zip(chain, chain[1:]):
        say(f"{name}, order {order}: {source} to {destination}")
        try:
            if not machine:
                machine, text = start_first(source, case, order)
            migration = Migration(case, order, limit, machine, destination, text)
            machine = migration.run()
            text, row = migration.text, migration.row
        except (Failure, OSError) as e:
            if machine:
                machine.kill()
            machine, row = None, dict.fromkeys(FIELDS, "-")
            row.update(order=order,
                       trouble=f"the guest has not started: {e}")
        row.update(case=name, source=source, destination=destination,
                   limit=limit, trouble=" ".join(row["trouble"].split()))
        bad += bool(row["trouble"])
        print("row", *(row[field] for field in FIELDS), sep="\t", flush=True)
    if machine:
        machine.kill()
    return bad


def main():
    bad = 0
    for what in sys.argv[3:]:
        name, order = what.split(":")
        bad += run_case(name, int(order), int(sys.argv[1]),
                        sys.argv[2].split(","))
    # Show the errors of QEMU
    subprocess.run("head -c 2000 /results/*.stderr", shell=True, check=False)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
