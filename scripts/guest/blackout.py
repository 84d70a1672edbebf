#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate HPT guests with each of some QEMUs, and see how long each stands still.

Runs inside an emulated host, which scripts/bench/migrate boots. The downtime
limit stays as it is set: if a migration does not end within LIMIT seconds, that
is its result, and it is allowed more to be over.

A line of /results/blackout.tsv is a migration:

    case, source's QEMU, destination's QEMU, order of the HPT, downtime limit
    (ms), downtime (ms), whole time (ms), bytes of the HPT, those while the
    guest stood still, passes, HPTs that were begun, lookups by the monitor,
    those that failed, 1 if both sides' HPTs are equal (- if not compared), and
    what went wrong
"""
import argparse
import socket
import subprocess
import sys
import time

import hptdiff
from pseries import (Failure, Machine, MiB, Stream, migrate_info, say, show,
                     unbroken)

LIMIT = 300
LINES = 3
RESIZE = 2
LOOKUPS = 100
KERNEL = 0xc000000000010000


class Case:
    """A guest, and what happens to it while it migrates."""

    def __init__(self, name, about, fill=0.0, idle=True, order=None,
                 resize=False, lookups=False):
        self.name = name
        self.about = about
        self.fill = fill
        self.idle = idle
        self.order = order
        self.resize = resize
        self.lookups = lookups

    def guest(self, order):
        """Arguments of Machine: without a resize the HPT is of maxmem."""
        if self.resize:
            return {"memory": "512M"}
        hptes = int(self.fill * (1 << order - 4))
        return {
            "memory": f"512M,maxmem={1 << order - 13}M,slots=1",
            "machine": ",resize-hpt=disabled",
            "append": f"fill={hptes}{' workers=0' * self.idle}",
        }


CASES = [
    Case("half full", "half of its HPTEs are valid, none changes", fill=0.5),
    Case("empty", "hardly an HPTE is valid, none changes"),
    Case("changing", "four processes work on their memory", idle=False),
    Case("resized", "the guest resizes its HPT meanwhile", resize=True),
    Case("looked at", "the monitor translates addresses meanwhile",
         idle=False, lookups=True),
]


def type_r(machine):
    with socket.socket(socket.AF_UNIX) as console:
        console.connect(f"{machine.dir}/console")
        console.sendall(b"r")
        time.sleep(0.5)


class Migration:
    def __init__(self, case, order, pair, limit):
        self.case = case
        self.limit = limit
        self.pair = pair
        self.lookups = self.failed_lookups = 0
        self.equal = "-"
        self.trouble = ""
        self.info = {}
        self.guest = case.guest(order)
        self.source = self.destination = self.stream = None
        self.resized = False

    def meanwhile(self, beginning):
        """What happens to the guest, once RAM has been gone through."""
        if self.case.resize and not self.resized and \
           time.monotonic() > beginning + RESIZE:
            type_r(self.source)
            self.resized = True
        if self.case.lookups and self.lookups < LOOKUPS:
            self.lookups += 1
            if "Cannot" in self.source.qmp.hmp(f"x/1x {KERNEL:#x}"):
                self.failed_lookups += 1

    def begin(self):
        self.source = Machine("source", program=f"/usr/bin/qemu-{self.pair[0]}",
                              **self.guest)
        self.source.wait_for_lines(LINES, limit=900)
        self.destination = Machine(
            "destination", "-S", "-incoming", "unix:/tmp/destination.in",
            program=f"/usr/bin/qemu-{self.pair[1]}", **self.guest)
        self.stream = Stream("/tmp/destination.out", "/tmp/destination.in")
        self.source.call("migrate-set-parameters", **{
            "max-bandwidth": 1 << 30, "downtime-limit": self.limit})
        self.source.call("migrate", uri="unix:/tmp/destination.out")

    def wait(self):
        beginning = time.monotonic()
        allowed = False
        while True:
            status, ram, self.info = migrate_info(self.source)
            if status == "completed":
                break
            if status not in ("setup", "active", "device"):
                raise Failure(f"{status} {self.info.get('error-desc', '')}")
            if status == "active":
                self.meanwhile(beginning)
                show(f"{ram['remaining'] // MiB} MiB of RAM left, "
                     f"HPT: {self.info.get('hpt', self.stream.hpt_bytes)}")
            if not allowed and time.monotonic() > beginning + LIMIT:
                self.trouble = f"no end in {LIMIT} s"
                allowed = True
                self.source.call("migrate-set-parameters",
                                 **{"downtime-limit": 100000})
            time.sleep(0.2)
        while self.destination.status() == "inmigrate":
            if self.destination.process.poll() is not None:
                raise Failure("the destination ended")
            time.sleep(0.1)

    def compare(self):
        """A full HPT is too long to be printed and compared here."""
        if self.case.fill:
            return
        before = self.source.dump_hpt("source")
        after = self.destination.dump_hpt("destination")
        self.equal = int(not hptdiff.diff(before, after))
        if not self.equal:
            raise Failure(hptdiff.verdict(before, after))

    def go_on(self):
        text = self.source.text()
        self.destination.call("cont")
        self.destination.wait_for_lines(LINES, limit=900)
        good, why = unbroken(text + self.destination.text())
        if not good:
            raise Failure(why)

    def run(self):
        try:
            self.begin()
            self.wait()
            self.compare()
            self.go_on()
        except (Failure, OSError) as e:
            self.trouble = (f"{self.trouble} {e}").strip()
        for machine in self.source, self.destination:
            if machine:
                machine.kill()
        if self.stream:
            self.stream.cut()

    def row(self):
        stream, info = self.stream, self.info
        shift = stream and stream.hpt_shift
        return [self.case.name, *self.pair, shift, self.limit,
                info.get("downtime"), info.get("total-time"),
                *((stream.hpt_bytes, stream.hpt_last, stream.hpt_passes,
                   stream.hpt_orders) if stream else (None,) * 4),
                self.lookups, self.failed_lookups, self.equal, self.trouble]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--order", type=int, default=24)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--case", action="append")
    parser.add_argument("pairs", nargs="+", metavar="SOURCE,DESTINATION")
    args = parser.parse_args()
    bad = 0
    with open("/results/blackout.tsv", "w", encoding="ascii") as rows:
        for case in CASES:
            if args.case and case.name not in args.case:
                continue
            for pair in args.pairs:
                say(f"{case.name}: {case.about}; {pair}")
                migration = Migration(case, args.order, pair.split(","),
                                      args.limit)
                migration.run()
                row = migration.row()
                bad += bool(migration.trouble)
                say("  " + "  ".join(str(x) for x in row[3:]))
                print(*row, sep="\t", file=rows, flush=True)
    # What came over the console of a QEMU that a case ended badly in
    subprocess.run("head -c 2000 /results/*.stderr", shell=True, check=False)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
