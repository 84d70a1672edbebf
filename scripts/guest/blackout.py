#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate HPT guests between two QEMUs, and measure what stands still.

usage: blackout.py LIMIT CASE:ORDER..

Runs inside an emulated host, which scripts/bench/migrate boots. The guest of
each case is migrated from Debian's QEMU to another one of these, to the patched
QEMU, to another one of those, and back to Debian's. LIMIT is the downtime limit
in milliseconds. It is only raised for a migration that does not complete within
PATIENCE seconds, which is its result then.

The streams go through a file, and are looked at when the guest is running
again, so that this takes nothing from the downtime.

Each line that begins with "row" is a migration. After that word there are, each
after a tab, what FIELDS names.
"""
import fnmatch
import itertools
import os
import re
import subprocess
import sys
import time

import hptdiff
from pseries import (Failure, Machine, SavedStream, make_socket, migrate_info,
                     say, unbroken)

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
PATIENCE = 30
LINES = 3
LOOKUPS = 100
KERNEL = 0xc000000000010000
FAST, SLOW = 1 << 30, 16 << 20
STREAM, PIPE = "/tmp/stream", "/tmp/stream.pipe"


class Case:
    """A guest, and what happens to it while it migrates."""

    def __init__(self, fill=0.0, idle=True, resize=False, lookups=False):
        self.fill = fill
        self.idle = idle
        self.resize = resize
        self.lookups = lookups

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
    "empty": Case(),
    "busy": Case(idle=False),
    "lookups": Case(idle=False, lookups=True),
    "resize": Case(idle=False, resize=True),
}


def cpu_time(machine):
    """Nanoseconds of CPU time of a QEMU."""
    # The kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
    return time.clock_gettime_ns(~machine.process.pid << 3 | 2)


numbers = itertools.count(1)


def start(kind, case, order, *options):
    return Machine(f"guest{next(numbers)}", *options,
                   program=f"/usr/bin/qemu-{kind}", **case.guest(order))


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
        beginning = time.monotonic()
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
            if not late and time.monotonic() > beginning + PATIENCE:
                late = True
                self.row["trouble"] = f"no end in {PATIENCE} s"
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
        if self.case.fill:
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


def run_case(name, order, limit):
    """Run the chain of a case. Return how many migrations had trouble."""
    case, machine, text, bad = CASES[name], None, "", 0
    for source, destination in zip(CHAIN, CHAIN[1:]):
        say(f"{name}, order {order}: {source} to {destination}")
        try:
            if not machine:
                text = ""
                machine = start(source, case, order)
                machine.wait_for_lines(LINES, limit=900)
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
    for what in sys.argv[2:]:
        name, order = what.split(":")
        bad += run_case(name, int(order), int(sys.argv[1]))
    # Show the errors of QEMU
    subprocess.run("head -c 2000 /results/*.stderr", shell=True, check=False)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
