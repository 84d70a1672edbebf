#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate, save and restore a guest with a radix MMU, which has no HPT.

Runs inside an emulated host, which scripts/test/radix boots.  Nothing of the
HPT is there to be sent, and all else is to work as it does for a guest that
has one.  Prints TAP.

The guest does not run while it is migrated: in the emulator the destination has
old contents in some of the pages that such a guest writes to meanwhile, with
the base's own kernel as well.
"""
import subprocess
import sys
import time

from pseries import (Failure, Machine, MiB, Stream, migrate_info, say,
                     unbroken)

LINES = 6
# Seconds to wait for them: several times what it takes on two cores
LIMIT = 400
# How much of the guest's memory to compare at a time, of how much
CHUNK = 64 * MiB
MEMORY = 512 * MiB
SNAPSHOT = "if=none,id=snapshots,format=qcow2,file=/tmp/radix.qcow2"

CHECKS = [
    "a guest with a radix MMU works",
    "debugfs and the migration have nothing of an HPT",
    "its memory is the same on the other side of a migration",
    "it goes on unbroken",
    "it goes on unbroken after savevm and loadvm",
]


def migrate(source):
    destination = Machine("destination", "-S", "-incoming",
                          "unix:/tmp/destination.in", "-drive", SNAPSHOT,
                          memory=f"{MEMORY // MiB}M", radix=True)
    stream = Stream("/tmp/destination.out", "/tmp/destination.in")
    source.call("migrate-set-parameters",
                **{"max-bandwidth": 1 << 30, "downtime-limit": 10000})
    source.call("migrate", uri="unix:/tmp/destination.out")
    while True:
        status, _, info = migrate_info(source)
        if status == "completed":
            break
        if status not in ("setup", "active", "device"):
            raise Failure(f"the migration: {status} "
                          f"{info.get('error-desc', '')}")
        time.sleep(0.1)
    while destination.status() == "inmigrate":
        time.sleep(0.1)
    return destination, stream


def memory(machine, at):
    return machine.qmp.memory("pmemsave", at, CHUNK,
                              f"/tmp/{machine.name}.memory")


def run():
    """What came of each of CHECKS, as (good, detail)."""
    say("starting the guest")
    source = Machine("source", memory=f"{MEMORY // MiB}M", radix=True)
    source.wait_for_lines(LINES, limit=LIMIT)
    yield unbroken(source.text())

    say("migration")
    source.call("stop")
    destination, stream = migrate(source)
    shown = len(source.dump_hpt("radix"))
    yield (shown == 0 and stream.hpt_shift == stream.NO_HPT and not stream.records,
           f"{shown} entries are shown, {stream.records} records were sent")
    other = [at // MiB for at in range(0, MEMORY, CHUNK)
             if memory(source, at) != memory(destination, at)]
    yield not other, (f"differs from {other[0]} MiB on" if other else
                      f"{MEMORY // MiB} MiB")
    text = source.text()
    source.kill()
    destination.call("cont")
    destination.wait_for_lines(LINES, limit=LIMIT)
    yield unbroken(text + destination.text())

    say("savevm and loadvm")
    destination.call("stop")
    saved_at = len(destination.text())
    text += destination.text()
    destination.hmp("savevm radix")
    destination.call("cont")
    destination.wait_for_lines(LINES, saved_at, LIMIT)
    destination.call("stop")
    loaded_at = len(destination.text())
    destination.hmp("loadvm radix")
    destination.call("cont")
    destination.wait_for_lines(LINES, loaded_at, LIMIT)
    destination.call("stop")
    yield unbroken(text + destination.text()[loaded_at:])
    destination.kill()


def main():
    print(f"1..{len(CHECKS)}", flush=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                    "/tmp/radix.qcow2", "2G"], check=True)
    results = run()
    failed = 0
    for number, check in enumerate(CHECKS, 1):
        try:
            good, detail = next(results)
        except StopIteration:
            good, detail = False, "the rest did not happen"
        except Exception as e:  # whatever it is, the rest did not happen
            good, detail = False, str(e) or type(e).__name__
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {check}", flush=True)
        say(f"  {detail}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
