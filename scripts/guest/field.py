#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Migrate a guest as a row of scripts/test/field.toml says.

usage: field.py ROW [save | load]

Runs inside an emulated host; scripts/test/field boots it. ROW is the row as
JSON. Prints one line, "ok: numbers" or "not ok: why". With save, the guest and
what it is to be compared with are kept in /results, and with load they are
taken from /, where the files of another host are.
"""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time

import hptdiff
import pseries
from pseries import Failure, MiB, migrate_info, say

LIMIT = 400
LINES = 3
# Bytes per second
FAST, NORMAL, POSTCOPY, SLOW = 1 << 30, 64 * MiB, 16 * MiB, 64 << 10
# The firmware, or the guest, which starts another kernel
BOOT = re.compile("\nSLOF|\nkexec: ")
# What the guest does when a letter is typed, and prints once it is done.
LETTERS = {"resize": (b"r", re.compile(r"^resize: to order \d+: done\r?$", re.M)),
           "crash-kernel": (b"l", re.compile(r"^crash kernel: loaded", re.M))}
# What only a crash kernel has
VMCORE = re.compile(r"^vmcore: \d+ MiB", re.M)
# Snapshots are kept in an image that no guest reads from.
IMAGE = "/tmp/disk.qcow2"
# A guest that goes to another host, and what it was there.
STATE, HPT, TEXT = "state.gz", "before.hpt", "before.text"
# What a shell in the host finds.
APPLETS = "/tmp/bin"


def wait_for(condition, what):
    deadline = time.monotonic() + LIMIT
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Failure(f"it takes too long: {what}")
        time.sleep(0.1)
    return value


def shell(command):
    """Run a command in the host, in a shell whose parent is this program."""
    if not os.path.isdir(APPLETS):
        os.mkdir(APPLETS)
        subprocess.run(["busybox", "--install", "-s", APPLETS], check=True)
    done = subprocess.run(["busybox", "sh", "-ec", command], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, PATH=APPLETS), check=False)
    if done.returncode:
        raise Failure(f"the host's {command}: exit status {done.returncode}, "
                      f"{done.stdout.strip()[-200:] or 'nothing said'}")


class Field:
    """One row."""

    def __init__(self, row, *arrival):
        self.row = row
        self.count = 0
        self.text = ""
        self.numbers = []
        self.machine = None
        for command in row["setup"]:
            shell(command)
        self.machine = self.start(row["source"], *arrival)

    def program(self):
        """The QEMU of this side, where the two have different ones."""
        suite = self.row["qemu"][self.count > 1] if self.row["qemu"] else ""
        if suite in ("", "bookworm"):
            return "qemu-system-ppc64"
        program = f"/tmp/qemu-{suite}/qemu-system-ppc64"
        if not os.path.exists(program):
            shell(f"tar -C /tmp -xzf /qemu-{suite}.tar.gz")
        return program

    def start(self, options, *arrival):
        self.count += 1
        name = f"q{self.count}"
        if self.row["way"] == "savevm":
            if not self.machine:
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2",
                                IMAGE, "1G"], check=True)
            arrival += "-drive", f"if=none,format=qcow2,file={IMAGE}"
        return pseries.Machine(
            name, *self.row["options"], *options, *arrival,
            memory=self.row["ram"], machine=self.row["pseries"],
            append=self.row["append"], kind=self.row["type"],
            program=self.program())

    def whole_text(self):
        return self.text + self.machine.text()

    def boots(self):
        return len(BOOT.split(self.whole_text()))

    def check_output(self):
        """Each line is there, since each boot, and none complains."""
        for boot in BOOT.split(self.whole_text()):
            good, why = pseries.unbroken(boot)
            if "GUEST FAIL" in boot or \
                    not good and re.search("^guest: ", boot, re.M):
                raise Failure(f"the guest's output: {why}")
        return why

    def lives(self):
        self.machine.wait_for_lines(LINES, len(self.machine.text()), LIMIT)
        return self.check_output()

    def type(self, letter):
        """On the guest's console."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{self.machine.dir}/console")
            sock.sendall(letter)

    def do(self, what):
        """One of the things that a row has happen."""
        word, _, rest = what.partition(" ")
        say(what)
        if word == "monitor":
            self.machine.hmp(rest)
        elif word == "qmp":
            command, _, arguments = rest.partition(" ")
            self.machine.call(command, **json.loads(arguments or "{}"))
        elif word == "host":
            shell(rest)
        elif word in ("reboot", "kexec", "panic"):
            boots = self.boots()
            if word == "reboot":
                self.machine.call("system_reset")
            else:
                self.type(word[:1].encode())
            wait_for(lambda: self.boots() > boots, f"a {word}")
            self.machine.wait_for_lines(LINES, len(self.machine.text()), LIMIT)
            crashed = VMCORE.search(BOOT.split(self.whole_text())[-1])
            if bool(crashed) != (word == "panic"):
                raise Failure(f"after a {word}, the guest has "
                              f"{crashed[0] if crashed else 'no vmcore'}")
        elif word in LETTERS:
            letter, done = LETTERS[word]
            count = len(done.findall(self.whole_text()))
            self.type(letter)
            wait_for(lambda: len(done.findall(self.whole_text())) > count,
                     f"a {word}")
        else:
            raise Failure(f"{what}: unknown")

    def prepare(self, machine):
        if self.row["capabilities"]:
            machine.call("migrate-set-capabilities", capabilities=[
                {"capability": name, "state": True}
                for name in self.row["capabilities"]])

    def slow_down(self):
        """When the migration has read some of the HPT, let it send only a page from
        time to time. It would complete before a guest that boots has done so, since
        that changes little memory.
        """
        def begun():
            status = migrate_info(self.machine)[0]
            if status != "active":
                raise Failure(f"the migration is {status} too soon")
            return int(self.machine.hpt_reader().get("read-bytes", 0))
        wait_for(begun, "a read of the HPT")
        self.machine.call("migrate-set-parameters", **{"max-bandwidth": SLOW})

    def disturb(self, again):
        """What happens while RAM is sent."""
        for what in self.row["meanwhile"]:
            self.slow_down()
            if what == "cancel":
                self.machine.call("migrate_cancel")
                wait_for(lambda: migrate_info(self.machine)[0] == "cancelled",
                         "cancelling")
                again()
            else:
                self.do(what)

    def until(self, *wanted, source=None):
        """The migration comes to one of these, or has failed."""
        def there():
            status, _, info = migrate_info(source or self.machine)
            if status == "failed":
                raise Failure("the migration fails: " +
                              (info.get("error-desc") or self.complaint()))
            return status in wanted
        wait_for(there, f"a migration that is {wanted[0]}")

    def complaint(self):
        """The last that both QEMUs have said."""
        said = []
        for number in range(self.count - 1, self.count + 1):
            said += pseries.complaints(f"/results/q{number}.stderr")[-2:]
        return "; ".join(said)

    def migrate(self):
        """To another QEMU. Return it."""
        state = f"/tmp/state{self.count}"
        ways = {"exec": (f"exec:busybox cat >{state}",
                         f"exec:busybox cat {state}"),
                "file": (f"file:{state}",) * 2}
        name = f"q{self.count + 1}"
        to, where = ways.get(self.row["way"], (f"unix:/tmp/{name}.in",) * 2)
        stored = self.row["way"] in ways
        if stored and "background-snapshot" not in self.row["capabilities"]:
            self.machine.call("stop")
        destination = None

        def begin():
            nonlocal destination
            if destination:
                destination.kill()
            # QEMU knows what it is to receive only after its capabilities
            if not stored:
                destination = self.start(self.row["destination"], "-S",
                                         "-incoming", "defer")
                self.prepare(destination)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(where.removeprefix("unix:"))
                destination.call("migrate-incoming", uri=where)
            self.prepare(self.machine)
            # It goes on until what is to happen meanwhile has happened.
            speed, limit = FAST, 20000
            if self.row["meanwhile"] or self.row["way"] == "postcopy":
                speed, limit = NORMAL, 1
            self.machine.call("migrate-set-parameters", **{
                "max-bandwidth": speed, "downtime-limit": limit,
                **self.row["parameters"]})
            self.machine.call("migrate", uri=to)
            self.until("active", "completed", "device")

        begin()
        self.disturb(begin)
        if self.row["way"] == "postcopy":
            self.machine.call("migrate-set-parameters",
                              **{"max-postcopy-bandwidth": POSTCOPY})
            self.machine.call("migrate-start-postcopy")
            self.until("postcopy-active", "completed")
        else:
            self.machine.call("migrate-set-parameters", **{
                "downtime-limit": 20000, "max-bandwidth": FAST})
            self.until("completed")
        if stored:
            destination = self.start(self.row["destination"], "-S",
                                     "-incoming", where)
        wait_for(lambda: destination.status() != "inmigrate", "the destination")
        return destination

    def snapshot(self):
        """Save a snapshot, and have another QEMU load it."""
        self.machine.call("stop")
        self.machine.hmp("savevm field")
        hpt = self.machine.dump_hpt("before")
        for what in self.row["meanwhile"]:
            self.do(what)
        # An image is for one QEMU at a time.
        self.machine.kill()
        return hpt, self.start(self.row["destination"], "-S",
                               "-loadvm", "field")

    def one(self):
        if self.row["way"] == "savevm":
            text = self.whole_text()
            before, destination = self.snapshot()
            self.numbers.append("a snapshot")
            self.arrived(before, text, destination)
            return
        source, destination = self.machine, self.migrate()
        before = source.dump_hpt("before")
        # With postcopy, it runs while memory is missing.
        self.arrived(before, self.whole_text(), destination)
        self.until("completed", source=source)
        _, ram, info = migrate_info(source)
        self.numbers.append(f"{info['total-time'] / 1000:.1f} s, stood "
                            f"still {info.get('downtime', 0) / 1000:.2f} s")
        if self.row["way"] == "postcopy":
            self.numbers.append(f"{ram['postcopy-requests']} pages wanted")
            if not ram["postcopy-requests"]:
                raise Failure("with postcopy, no page was missing")
        source.kill()

    def arrived(self, before, text, destination):
        """The guest, which has printed this text, is here, and goes on."""
        after = destination.dump_hpt("after")
        self.numbers.append(hptdiff.verdict(before, after))
        if hptdiff.diff(before, after):
            raise Failure(f"HPTs {self.numbers[-1]}")
        if self.row["start"] == "working" and len(after) < self.row["entries"]:
            raise Failure(f"only {len(after)} entries in the HPT")
        self.text, self.machine = text, destination
        self.machine.call("cont")
        self.numbers.append(self.lives())

    def save(self):
        """For another host."""
        self.machine.wait_for_lines(LINES, limit=LIMIT)
        for what in self.row["before"]:
            self.do(what)
        self.machine.call("stop")
        self.machine.call("migrate-set-parameters",
                          **{"max-bandwidth": 1 << 40})
        self.machine.call(
            "migrate", uri=f"exec:busybox gzip -1 -c >/results/{STATE}")
        self.until("completed")
        count = len(self.machine.dump_hpt(HPT.removesuffix(".hpt")))
        with open(f"/results/{TEXT}", "w", encoding="ascii",
                  errors="replace") as file:
            file.write(self.whole_text())
        return f"{os.path.getsize(f'/results/{STATE}') // MiB} MiB, " \
            f"{count} entries"

    def load(self):
        """From another host."""
        wait_for(lambda: self.machine.status() != "inmigrate", "the guest")
        with open(f"/{TEXT}", encoding="ascii", errors="replace") as file:
            text = file.read()
        self.arrived(hptdiff.load(f"/{HPT}"), text, self.machine)
        for what in self.row["after"]:
            self.do(what)
        return ", ".join(self.numbers)

    def run(self):
        if self.row["start"] == "working":
            self.machine.wait_for_lines(LINES, limit=LIMIT)
        for what in self.row["before"]:
            self.do(what)
        for _ in range(self.row["times"]):
            self.one()
            for what in self.row["after"]:
                self.do(what)
        return ", ".join(self.numbers)

    def fails(self):
        """It does, in the way that the row says, and the guest lives on."""
        try:
            done = self.run()
        except Failure as why:
            said = f"{why}; {self.complaint()}"
            if not re.search(self.row["fails"], said):
                raise Failure(f"it fails in another way: {said}") from None
        else:
            raise Failure(f"it does not fail: {done}")
        if self.machine.status() in ("paused", "postmigrate"):
            self.machine.call("cont")
        return f"{said}; the source lives on, {self.lives()}"


def source(row):
    """A QEMU that runs the guest, or None and its error, if the row expects
    that it does not start.
    """
    try:
        return Field(row), ""
    except Failure as why:
        if not row["fails"] or not re.search(row["fails"], str(why)):
            raise
        return None, str(why)


def result(row, where):
    """What is said of a row."""
    if where == "load":
        return Field(row, "-S", "-incoming",
                     f"exec:busybox gzip -dc /{STATE}").load()
    field, said = source(row)
    if where == "save":
        return field.save()
    if field:
        return field.fails() if row["fails"] else field.run()
    return said


def main():
    try:
        print("ok:", result(json.loads(sys.argv[1]), "".join(sys.argv[2:])),
              flush=True)
    except (Failure, OSError) as why:
        print(f"not ok: {why}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
