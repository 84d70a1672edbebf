#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate, save and restore an HPT guest, and check that nothing is lost.

Runs inside an emulated host, which scripts/test/demo boots.  Starts a guest
that works on its memory; cancels a first migration halfway; live-migrates it to
a second QEMU; saves it and loads it again, there and in a third QEMU.  Whenever
both sides are stopped, the guest's views of the hash page table are compared
entry by entry; whenever the guest is resumed, its output must continue where it
stopped.  Prints progress as comments and results as TAP, writes a summary to
/results/summary and everything that was compared to /results.
"""
import subprocess
import sys
import time

import hptdiff
from pseries import (HPTE_SHIFT, Failure, Machine, MiB, Stream, migrate_info,
                     say, show, start_time, unbroken)

CHECKS = [
    "a guest with a hash MMU works on the source",
    "it goes on after a migration cancelled halfway",
    "it is live-migrated while it works",
    "both sides' HPTs are equal after the migration",
    "its output goes on unbroken on the destination",
    "its HPT is equal after savevm and loadvm",
    "its output goes on unbroken after loadvm",
    "its HPT is equal when the snapshot is loaded by a new QEMU",
    "its output goes on unbroken in the new QEMU",
]

# With fewer entries than this, the guest does not do its work.
MIN_ENTRIES = 4096
# Lines of output to see before the guest counts as working.
LINES = 6

# Passes over the HPT to wait for while the guest runs, and for how long: a slow
# emulator may not get there.
PASSES = 3
PASSES_LIMIT = 120


class Report:
    """Results in the order of CHECKS, as TAP."""

    def __init__(self):
        self.done = 0
        self.failed = 0
        print(f"1..{len(CHECKS)}", flush=True)

    def result(self, good, detail):
        self.done += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.done} - "
              f"{CHECKS[self.done - 1]}", flush=True)
        say(f"  {detail}")

    def give_up(self, why):
        while self.done < len(CHECKS):
            self.result(False, why)


BAR = 10


def show_progress(source, ram, stream):
    """The progress of a migration, as text."""
    hpt = f"HPT {stream.valid} entries sent" if stream.valid else "HPT not yet"
    told = source.hpt_reader()
    if told.get("state") == "current":
        at = BAR * int(told["position"]) // int(told["hptes"])
        hpt = (f"HPT pass {told['pass']} [{'#' * at:-<{BAR}}] "
               f"{stream.valid} entries sent")
    show(f"RAM {ram['remaining'] / MiB:3.0f} MiB left, {hpt}")


def start_migration(source, name, bandwidth):
    """Start a destination that will stay stopped, and the migration to it.

    The downtime limit is so low that the migration does not complete until it
    is cancelled or the limit is raised.
    """
    destination = Machine(
        name, "-S", "-incoming", f"unix:/tmp/{name}.in",
        "-drive", "if=none,id=snapshots,format=qcow2,"
        f"file=/tmp/{name}.qcow2")
    stream = Stream(f"/tmp/{name}.out", f"/tmp/{name}.in")
    source.call("migrate-set-parameters", **{
        "max-bandwidth": bandwidth, "downtime-limit": 1})
    source.call("migrate", uri=f"unix:/tmp/{name}.out")
    return destination, stream


def cancel_halfway(source):
    say("migration that will be cancelled halfway")
    destination, stream = start_migration(source, "cancelled", 16 * MiB)
    sent = 0
    while True:
        status, ram, _ = migrate_info(source)
        if status not in ("setup", "active"):
            raise Failure(f"the migration to be cancelled: {status}")
        if status == "active":
            show_progress(source, ram, stream)
            sent = 1 - ram["remaining"] / ram["total"]
            if sent > 0.5:
                break
        time.sleep(0.5)
    source.call("migrate_cancel")
    while migrate_info(source)[0] == "cancelling":
        time.sleep(0.1)
    status = migrate_info(source)[0]
    destination.kill()
    if status != "cancelled":
        raise Failure(f"cancelling the migration: {status}")
    return sent


def migrate(source):
    say("live migration")
    destination, stream = start_migration(source, "destination", 1 << 30)
    deadline = time.monotonic() + PASSES_LIMIT
    shown = 0
    ending = False
    live = (0, 0)
    while True:
        status, ram, info = migrate_info(source)
        if status == "completed":
            break
        if not ending and (stream.hpt_passes > PASSES or
                           time.monotonic() > deadline):
            show_progress(source, ram, stream)
            if not stream.hpt_passes:
                raise Failure(f"no pass over the HPT in {PASSES_LIMIT} s")
            say("  the guest may be stopped now")
            source.call("migrate-set-parameters",
                            **{"downtime-limit": 10000})
            ending = True
            live = (stream.valid, stream.hpt_passes)
        if status not in ("setup", "active", "device"):
            raise Failure(f"the migration: {status} "
                          f"{info.get('error-desc', '')}")
        if status == "active" and time.monotonic() > shown + 0.5:
            show_progress(source, ram, stream)
            shown = time.monotonic()
        time.sleep(0.1)
    destination.wait_for_arrival()
    if destination.status() != "paused":
        raise Failure(f"the destination: {destination.status()}")
    show_progress(source, ram, stream)
    with open("/results/order", "w", encoding="ascii") as f:
        print(stream.hpt_shift, file=f)
    return destination, stream, info, live


def same(report, a, b):
    equal = not hptdiff.diff(a, b)
    text = hptdiff.verdict(a, b)
    if equal and len(a) < MIN_ENTRIES:
        equal, text = False, f"only {len(a)} entries, too few to tell"
    report.result(equal, text)
    return text


def run(report, summary):
    say("starting the guest")
    source = Machine("source")
    source.wait_for_lines(LINES)
    entries = len(source.dump_hpt("working"))
    if entries < MIN_ENTRIES:
        raise Failure(f"only {entries} entries in the HPT: a radix guest?")
    report.result(True, f"line {source.lines()}, {entries} entries in its HPT")

    sent = cancel_halfway(source)
    source.wait_for_lines(LINES)
    report.result(*unbroken(source.text()))
    summary["cancelled migration"] = f"at {sent:.0%} of RAM, the guest went on"

    destination, stream, info, live = migrate(source)
    hpt = 1 << stream.hpt_shift
    summary["HPT"] = f"{hpt / MiB:g} MiB, {hpt >> HPTE_SHIFT} entries"
    summary["live migration"] = (
        f"{info['total-time'] / 1000:.1f} s, the guest stood still for "
        f"{info['downtime'] / 1000:.2f} s")
    summary["sent"] = (
        f"{info['ram']['transferred'] / MiB:.0f} MiB of RAM, "
        f"{stream.hpt_bytes / MiB:.2f} MiB of HPT "
        f"({stream.valid} valid entries in {stream.records} records)")
    summary["sent while it worked"] = (
        f"{live[0]} valid entries, in {live[1]} passes over the HPT")
    report.result(live[0] > 0, summary["sent while it worked"])

    before = source.dump_hpt("source")
    after = destination.dump_hpt("destination")
    summary["source, destination"] = same(report, before, after)

    destination.call("cont")
    destination.wait_for_lines(LINES)
    text = source.text()
    source.kill()
    result = unbroken(text + destination.text())
    summary["guest's output there"] = result[1]
    report.result(*result)

    say("savevm")
    destination.call("stop")
    saved_at = len(destination.text())
    text += destination.text()
    before = destination.dump_hpt("saved")
    destination.hmp("savevm demo")
    destination.call("cont")
    destination.wait_for_lines(LINES, saved_at)
    destination.call("stop")

    say("loadvm")
    loaded_at = len(destination.text())
    destination.hmp("loadvm demo")
    after = destination.dump_hpt("loaded")
    summary["savevm, loadvm"] = same(report, before, after)
    destination.call("cont")
    destination.wait_for_lines(LINES, loaded_at)
    destination.call("stop")
    report.result(*unbroken(text + destination.text()[loaded_at:]))
    destination.kill()

    say("the snapshot in a new QEMU")
    restored = Machine(
        "restored", "-S", "-loadvm", "demo", "-drive",
        "if=none,id=snapshots,format=qcow2,file=/tmp/destination.qcow2")
    after = restored.dump_hpt("restored")
    summary["savevm, new QEMU"] = same(report, before, after)
    restored.call("cont")
    restored.wait_for_lines(LINES)
    result = unbroken(text + restored.text())
    summary["guest's output there"] = result[1]
    report.result(*result)
    restored.kill()


def main():
    report = Report()
    summary = {}
    for name in "cancelled", "destination":
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                        f"/tmp/{name}.qcow2", "2G"], check=True)
    try:
        run(report, summary)
    except Exception as e:  # in any case, the rest was not run
        report.give_up(str(e) or type(e).__name__)
    summary["time"] = f"{time.monotonic() - start_time:.0f} s in the host"
    with open("/results/summary", "w", encoding="ascii") as f:
        for what, text in summary.items():
            f.write(f"{what:22}{text}\n")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
