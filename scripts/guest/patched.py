#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Test what series/qemu promises beyond that migrations complete.

usage: patched.py [radix]

Runs inside an emulated host, which scripts/qemu/try boots: lookups and
snapshots that fail, snapshots that do not, damaged streams, postcopy, and a
guest that is reset while it migrates. With "radix", in a host with that MMU, a
hash guest that has rebooted into radix. Prints TAP.
"""
import contextlib
import fnmatch
import io
import os
import re
import struct
import subprocess
import sys
import time

import hptdiff
from pseries import (Failure, Machine, MiB, Sections, complaints, migrate_info,
                     migrated, say, tell, unbroken)

LINES = 4
# Seconds to wait for them
LIMIT = 400
# Memory of each of the guest's processes
KEPT = 0x1000000000
TRIES = 100
# The guest's HPT has several times as many
LEAST = 4096
# Passes over an HPT after all of the RAM of a guest that stands still
PASSES = 100
PROGRAM, FEW_FILES = "/usr/bin/qemu-patched", "/tmp/qemu-few-files"
SNAPSHOT = "if=none,id=snapshots,format=qcow2,file=/tmp/patched.qcow2"
NO_FILE = "Too many open files"
STREAM, DAMAGED = "/tmp/stream", "/tmp/stream.damaged"
V_VALID, V_LARGE, R_M = 1, 4, 0x10

CHECKS = [
    "the HPT is equal after savevm and loadvm",
    "the guest goes on unbroken after loadvm",
    "the monitor looks up an address",
    "a lookup without a file descriptor fails, and says why",
    "savevm without a file descriptor fails, and says why",
    "the guest goes on, and lookups work again",
    "info migrate shows the HPT after a migration to a file",
    "a stream with an order that does not exist",
    "a stream with HPTEs and no order",
    "a stream with an index of almost 2^32",
    "a stream with HPTEs behind the end of the HPT",
    "a stream that ends in a header",
    "a stream that ends in an HPTE",
    "a stream with a record of 65,535 HPTEs, and then a bad one",
    "a stream with an HPTE that is not valid",
    "a stream with an HPTE for a page that is too large",
    "the HPT is equal at the switch to postcopy",
    "the guest goes on unbroken in postcopy",
    "the guest is reset while it migrates, and boots at the destination",
]
RADIX_CHECKS = [
    "a hash guest reboots into radix after a migration",
    "the migration of a guest that has rebooted into radix completes",
    "the guest that has rebooted into radix goes on unbroken",
]


class Beginning(Sections):
    """A saved stream up to the order of the HPT."""

    def __init__(self, path):
        super().__init__()
        self.destination = io.BytesIO()
        with open(path, "rb", MiB) as self.source, \
             contextlib.suppress(EOFError):
            self.follow()
        data = self.destination.getvalue()
        name = data.rfind(b"\x0aspapr/htab")
        if name < 0 or self.hpt_shift is None:
            raise Failure("the stream has no HPT")
        self.section = data[name - 4:name]
        self.before = data[:-4]
        self.footer = bytes([self.FOOTER]) + self.section

    def follow_hpt(self):
        super().follow_hpt()
        raise EOFError

    def with_order(self, order):
        return self.before + struct.pack(">I", order) + self.footer

    def with_records(self, *records):
        """The same, and a section with these and an end."""
        return self.with_order(self.hpt_shift) + self.part(*records)

    def part(self, *records):
        return bytes([self.SECTION_PART]) + self.section + bytes(4) + \
            b"".join(records) + self.RECORD.pack(0, 0, 0) + self.footer

    def record(self, index, *hptes, invalid=0):
        return self.RECORD.pack(index, len(hptes), invalid) + \
            b"".join(struct.pack(">QQ", *hpte) for hpte in hptes)


def damaged(stream):
    """Streams, and what QEMU says of them."""
    good = (V_VALID, R_M)
    end = 1 << stream.hpt_shift - 4
    has_not = rf"that an HPT of order {stream.hpt_shift} has not"
    refused = r"KVM does not take the HPTEs from 0x{:x} on \({}\): {}"
    yield stream.with_order(47), "an HPT of order 47, which does not exist"
    yield (stream.with_order(stream.NO_HPT) + stream.part(stream.record(8, good)),
           "HPTEs, but no size of their HPT")
    yield (stream.with_records(stream.record((1 << 32) - 8, invalid=16)),
           rf"HPTEs 4294967288 \(0 valid, 16 invalid\) {has_not}")
    yield (stream.with_records(stream.record(end - 1, good, good)),
           rf"HPTEs {end - 1} \(2 valid, 0 invalid\) {has_not}")
    yield (stream.with_records(stream.record(8, good))[:-5 - 3],
           "The stream ends within an HPT")
    yield (stream.with_records(stream.record(8, good))[:-5 - 8 - 3],
           "The stream ends within an HPT")
    yield (stream.with_records(stream.record(8, *[good] * 65535),
                               stream.record(0x123456, (0, 0))),
           rf"HPTEs {0x123456} \(1 valid, 0 invalid\) {has_not}")
    yield (stream.with_records(stream.record(16, good),
                               stream.record(24, (0, R_M), invalid=3)),
           refused.format(24, "1 valid, 3 invalid", "Invalid argument"))
    yield (stream.with_records(stream.record(16, (V_VALID | V_LARGE, R_M))),
           refused.format(16, "1 valid, 0 invalid", "Input/output error"))


class Refusing(Machine):
    """A QEMU that may exit before it answers."""

    def __init__(self, program):
        self.process = None
        with contextlib.suppress(Failure):
            super().__init__("damaged", "-S", "-incoming",
                             f"exec:busybox cat {DAMAGED}", program=program)


def refusal(data, program=PROGRAM):
    """Whether QEMU refuses a stream with exit status 1, and what it says."""
    with open(DAMAGED, "wb") as file:
        file.write(data)
    process = Refusing(program).process
    try:
        status = process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False, "it does not exit"
    said = " / ".join(complaints("/results/damaged.stderr"))
    return status == 1, f"exit status {status}: {said}"


def lookup(machine, wanted):
    """Look up an address until the answer is as wanted.

    It is in the SLB as long as the vcpu runs one of the processes.
    """
    for _ in range(TRIES):
        answer = machine.qmp.hmp(f"x/1x {KEPT:#x}")
        if fnmatch.fnmatch(answer, wanted):
            return True, answer
        time.sleep(0.05)
    return False, answer


FOUND = "*: 0x*"


def failing(machine):
    """Take all file descriptors.

    QEMU looks up addresses in real mode, without the HPT, until it has loaded a
    guest that has left real mode.
    """
    yield lookup(machine, FOUND)
    say("taking all file descriptors")
    count = 0
    with contextlib.suppress(Failure):
        while True:
            machine.call("getfd", files=[0], fdname=f"file{count}")
            count += 1
    yield lookup(machine, f"*{NO_FILE}*")
    answer = machine.qmp.hmp("savevm failing")
    yield NO_FILE in answer and "HPT" in answer, answer

    while count:
        count -= 1
        machine.call("closefd", fdname=f"file{count}")
    machine.wait_for_lines(LINES, len(machine.text()), LIMIT)
    yield lookup(machine, FOUND)


def equal(before, after):
    return len(before) >= LEAST and not hptdiff.diff(before, after)


def snapshots(machine):
    say("savevm and loadvm")
    machine.call("stop")
    saved_at = len(machine.text())
    before = machine.dump_hpt("saved")
    machine.hmp("savevm patched")
    machine.call("cont")
    machine.wait_for_lines(LINES, saved_at, LIMIT)
    machine.call("stop")
    loaded_at = len(machine.text())
    machine.hmp("loadvm patched")
    after = machine.dump_hpt("loaded")
    yield equal(before, after), hptdiff.verdict(before, after)
    machine.call("cont")
    machine.wait_for_lines(LINES, loaded_at, LIMIT)
    # The lines of the time between are those that did not happen
    yield unbroken(machine.text()[:saved_at] + machine.text()[loaded_at:])


def damage(machine):
    say("migration to a file")
    machine.call("stop")
    machine.call("migrate", uri=f"exec:busybox cat >{STREAM}")
    while not migrated(machine):
        time.sleep(0.1)
    shown = re.search(r"^HPT: (.*)$", machine.qmp.hmp("info migrate"), re.M)
    counts = dict(re.findall(r"(\w+)=(\d+)", shown[1] if shown else ""))
    yield (int(counts.get("entries", 0)) > 0 and
           int(counts.get("passes", 0)) > 0, shown and shown[1])
    machine.call("cont")
    for data, expected in damaged(Beginning(STREAM)):
        refused, said = refusal(data)
        yield refused and bool(re.search(expected, said)), said


def disturbed_migration(source, **capabilities):
    """Begin a slow migration."""
    destination = Machine("destination", "-S", "-incoming", "defer",
                          program=PROGRAM)
    for machine in source, destination:
        machine.call("migrate-set-capabilities", capabilities=[
            {"capability": name, "state": state}
            for name, state in capabilities.items()])
    destination.call("migrate-incoming", uri="unix:/tmp/destination.in")
    source.call("migrate-set-parameters", **{
        "max-bandwidth": 8 * MiB, "max-postcopy-bandwidth": MiB,
        "downtime-limit": 300})
    source.call("migrate", uri="unix:/tmp/destination.in")
    return destination


def wait_for_pass(source):
    """Wait until some of the HPT has been sent."""
    while not migrate_info(source)[2].get("hpt", {}).get("entries"):
        if migrated(source):
            raise Failure("it is complete already")
        time.sleep(0.1)


def postcopy(source):
    say("postcopy")
    destination = disturbed_migration(source, **{"postcopy-ram": True})
    wait_for_pass(source)
    source.call("migrate-start-postcopy")
    while migrate_info(source)[0] not in ("postcopy-active", "completed"):
        migrated_or_active(source)
        time.sleep(0.05)
    while destination.status() == "inmigrate":
        time.sleep(0.05)
    left = migrate_info(source)[1]["remaining"] >> 20
    before = source.dump_hpt("source")
    after = destination.dump_hpt("destination")
    yield (left > 0 and equal(before, after),
           f"{hptdiff.verdict(before, after)}, {left} MiB of RAM left")
    destination.call("cont")
    destination.wait_for_lines(LINES, 0, LIMIT)
    source.call("migrate-set-parameters", **{"max-postcopy-bandwidth": 0})
    while migrate_info(source)[0] != "completed":
        migrated_or_active(source)
        time.sleep(0.1)
    requests = migrate_info(source)[1]["postcopy-requests"]
    text = source.text()
    source.kill()
    destination.wait_for_lines(LINES, len(destination.text()), LIMIT)
    good, detail = unbroken(text + destination.text())
    yield good and requests > 0, f"{detail}, {requests} requests"
    destination.kill()


def migrated_or_active(source):
    status, _, info = migrate_info(source)
    if status in ("failed", "cancelled", "postcopy-paused"):
        raise Failure(f"{status}: {info.get('error-desc', 'no reason')}")


def reset():
    say("a guest is reset while it migrates")
    source = Machine("reset", program=PROGRAM)
    source.wait_for_lines(LINES, limit=LIMIT)
    destination = disturbed_migration(source)
    wait_for_pass(source)
    source.call("system_reset")
    time.sleep(1)
    source.call("migrate-set-parameters",
                **{"max-bandwidth": 1 << 30, "downtime-limit": 5000})
    while not migrated(source):
        time.sleep(0.1)
    info = migrate_info(source)[2].get("hpt", {})
    destination.wait_for_arrival()
    before = source.dump_hpt("source")
    after = destination.dump_hpt("destination")
    source.kill()
    destination.call("cont")
    destination.wait_for_lines(LINES, 0, LIMIT)
    good, detail = unbroken(destination.text())
    yield (good and info.get("restarts", 0) > 0 and equal(before, after),
           f"{detail}, {info}, {hptdiff.verdict(before, after)}")
    destination.kill()


def run():
    """The results of CHECKS, as (good, detail)."""
    machine = Machine("guest", "-drive", SNAPSHOT, program=FEW_FILES)
    machine.wait_for_lines(LINES, limit=LIMIT)
    yield from snapshots(machine)
    yield from failing(machine)
    yield from damage(machine)
    machine.kill()
    source = Machine("source", program=PROGRAM)
    source.wait_for_lines(LINES, limit=LIMIT)
    yield from postcopy(source)
    yield from reset()


def migrate(source, bandwidth):
    """Migrate a guest to one that boots with radix."""
    destination = Machine(f"{source.name}-radix", "-S", "-incoming",
                          "unix:/tmp/destination.in", program=PROGRAM,
                          radix=True)
    source.call("stop")
    source.call("migrate-set-parameters", **{"max-bandwidth": bandwidth,
                                             "downtime-limit": 300})
    source.call("migrate", uri="unix:/tmp/destination.in")
    last = None
    while not migrated(source):
        _, ram, info = migrate_info(source)
        passes = info.get("hpt", {}).get("passes", 0)
        if ram.get("remaining") != 0 or last is None:
            last = passes + PASSES
        if passes > last:
            raise Failure(f"no end, all RAM is sent: {info['hpt']}")
        time.sleep(0.05)
    info = migrate_info(source)[2].get("hpt", {})
    destination.wait_for_arrival()
    source.kill()
    return destination, info


def rebooted():
    """The results of RADIX_CHECKS, as (good, detail).

    QEMU takes the options of the kernel that it loads from its command line at
    each reset.
    """
    source = Machine("hash", program=PROGRAM)
    source.wait_for_lines(LINES, limit=LIMIT)
    say("migrating it to one that reboots into radix")
    machine, info = migrate(source, 1 << 30)
    hptes = len(machine.dump_hpt("hash"))
    at = len(machine.text())
    machine.call("system_reset")
    machine.call("cont")
    machine.wait_for_lines(LINES, at, LIMIT)
    left = len(machine.dump_hpt("radix"))
    yield (hptes >= LEAST and not left and unbroken(machine.text()[at:])[0],
           f"{hptes} entries, then {left}; {info}")
    say("migrating the radix guest")
    # An HPT of 4 MiB does not fit in the limit at this rate
    destination, info = migrate(machine, 8 * MiB)
    yield True, f"{info}"
    destination.call("cont")
    destination.wait_for_lines(LINES, limit=LIMIT)
    yield unbroken(machine.text()[at:] + destination.text())


def main():
    if sys.argv[1:] == ["radix"]:
        return tell(RADIX_CHECKS, rebooted())
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                    "/tmp/patched.qcow2", "2G"], check=True)
    with open(FEW_FILES, "w", encoding="ascii") as file:
        file.write(f'#!/bin/sh\nulimit -n 100\nexec {PROGRAM} "$@"\n')
    os.chmod(FEW_FILES, 0o755)
    return tell(CHECKS, run())


if __name__ == "__main__":
    sys.exit(main())
