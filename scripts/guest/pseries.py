# SPDX-License-Identifier: GPL-2.0
"""QEMUs with a guest, mostly one with a hash MMU, and migrations between them.

For programs that run inside an emulated host (scripts/host/boot) with the root
file system of scripts/host/rootfs.
"""
import contextlib
import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time

import hptdiff

MiB = 1 << 20
HPTE_SHIFT = 4
start_time = time.monotonic()


class Failure(Exception):
    """An error that ends the run, in one line."""


def say(text):
    print(f"# {time.monotonic() - start_time:6.1f} s  {text}", flush=True)


def tell(checks, results):
    """Print as TAP what an iterator of (good, detail) yields for each check."""
    print(f"1..{len(checks)}", flush=True)
    failed = 0
    for number, check in enumerate(checks, 1):
        try:
            good, detail = next(results)
        except StopIteration:
            good, detail = False, "the rest did not happen"
        except Exception as e:  # in any case, the rest was not run
            good, detail = False, str(e) or type(e).__name__
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {check}", flush=True)
        say(f"  {detail}")
    return 1 if failed else 0


def show(text):
    """The same for progress, which scripts/test/demo overwrites."""
    print(f"#~ {time.monotonic() - start_time:5.1f} s  {text}", flush=True)


def make_socket(address):
    """A socket for a path, or for a host and a port."""
    if isinstance(address, str):
        return socket.socket(socket.AF_UNIX)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


class Sections:
    """A migration stream, of which the sections of the HPT are counted.

    Parses just enough of it to follow RAM and HPT sections, which all come
    before the devices' state. What it takes from the source goes to the
    destination.
    """

    SECTION_START, SECTION_PART, SECTION_END = 1, 2, 3
    CONFIGURATION, COMMAND, FOOTER = 0x07, 0x08, 0x7e
    RAM_ZERO, RAM_MEM_SIZE, RAM_PAGE = 0x02, 0x04, 0x08
    RAM_EOS, RAM_CONTINUE = 0x10, 0x20
    RAM_PAGE_BYTES = 4096
    NO_HPT = 0xffffffff
    RECORD = struct.Struct(">IHH")

    def __init__(self):
        self.hpt_bytes = self.records = self.valid = 0
        # Those of hpt_bytes in the last section, when the guest is stopped
        self.hpt_last = self.hpt_orders = 0
        self.hpt_passes = self.hpt_next = 0
        self.hpt_shift = None
        # That of the section
        self.kind = None
        self.source = self.destination = None

    def take(self, count):
        data = self.source.read(count)
        if len(data) < count:
            raise EOFError
        self.destination.write(data)
        return data

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def follow(self):
        names = {}
        self.take(8)
        while True:
            kind = self.number("B")
            if kind == self.CONFIGURATION:
                self.take(self.number(">I"))
            elif kind == self.COMMAND:
                self.number(">H")
                self.take(self.number(">H"))
            elif kind == self.FOOTER:
                self.number(">I")
                self.destination.flush()
            elif kind in (self.SECTION_START, self.SECTION_PART,
                          self.SECTION_END):
                section = self.number(">I")
                self.kind = kind
                if kind == self.SECTION_START:
                    names[section] = self.take(self.number("B"))
                    self.take(8)
                if names.get(section) == b"ram":
                    self.follow_ram()
                elif names.get(section) == b"spapr/htab":
                    before = self.hpt_bytes
                    self.follow_hpt()
                    if kind == self.SECTION_END:
                        self.hpt_last += self.hpt_bytes - before
                else:
                    return
            else:
                return

    def skip_pages(self):
        """Forward the available pages of a block without a call for each."""
        ahead = self.source.peek()
        at = 0
        while len(ahead) - at >= 8 + self.RAM_PAGE_BYTES:
            flags = ahead[at + 7]
            if flags == self.RAM_CONTINUE | self.RAM_ZERO:
                at += 9
            elif flags == self.RAM_CONTINUE | self.RAM_PAGE:
                at += 8 + self.RAM_PAGE_BYTES
            else:
                break
        self.take(at)

    def follow_ram(self):
        while True:
            self.skip_pages()
            word = self.number(">Q")
            if word & self.RAM_EOS:
                return
            if word & self.RAM_MEM_SIZE:
                left = word & -self.RAM_PAGE_BYTES
                while left > 0:
                    self.take(self.number("B"))
                    left -= self.number(">Q")
                continue
            if not word & self.RAM_CONTINUE:
                self.take(self.number("B"))
            self.take(self.RAM_PAGE_BYTES if word & self.RAM_PAGE else 1)

    def count_record(self, index, valid, invalid):
        if index < self.hpt_next or not self.records:
            self.hpt_passes += 1
        self.hpt_next = index + valid + invalid
        self.records += 1
        self.valid += valid
        self.hpt_bytes += self.RECORD.size + 16 * valid

    def skip_records(self):
        """Count and forward the available records.

        It counts as count_record() does, but without a call for each.
        """
        ahead = self.source.peek()
        unpack, size = self.RECORD.unpack_from, self.RECORD.size
        at = records = all_valid = 0
        last = len(ahead) - size
        after = self.hpt_next if self.records else 1 << 32
        while at <= last:
            index, valid, invalid = unpack(ahead, at)
            if not valid and not invalid:
                break
            if index < after:
                self.hpt_passes += 1
            after = index + valid + invalid
            records += 1
            all_valid += valid
            at += size + 16 * valid
        if records:
            self.hpt_next = after
        self.records += records
        self.valid += all_valid
        self.hpt_bytes += size * records + 16 * all_valid
        self.take(at)

    def follow_hpt(self):
        """Parse a section: the order of the HPT, or no HPT, or records."""
        shift = self.number(">I")
        if shift:
            self.hpt_shift = shift
            self.hpt_orders += 1
            return
        while True:
            self.skip_records()
            index, valid, invalid = self.RECORD.unpack(
                self.take(self.RECORD.size))
            if not valid and not invalid:
                return
            self.count_record(index, valid, invalid)
            self.take(16 * valid)


class Stream(Sections, threading.Thread):
    """Forward a migration stream, and count its sections of the HPT.

    After these it only forwards bytes.
    """

    def __init__(self, listen, to):
        Sections.__init__(self)
        threading.Thread.__init__(self, daemon=True)
        self.to = to
        self.sockets = ()
        self.server = make_socket(listen)
        self.server.bind(listen)
        self.server.listen(1)
        self.start()

    def run(self):
        source, _ = self.server.accept()
        self.server.close()
        destination = make_socket(self.to)
        self.sockets = source, destination
        try:
            destination.connect(self.to)
            self.source = source.makefile("rb", MiB)
            self.destination = destination.makefile("wb", MiB)
            self.follow()
            self.destination.flush()
            while data := self.source.read1():
                self.destination.write(data)
                self.destination.flush()
        except (EOFError, OSError):
            # The migration was cancelled, or one side was killed.
            pass
        self.cut()
        for sock in self.sockets:
            sock.close()

    def cut(self):
        """Stop it, even if nothing arrives."""
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class SavedStream(Sections):
    """Count the sections of the HPT in a file."""

    def __init__(self, path):
        super().__init__()
        with open(path, "rb", MiB) as self.source, \
             open(os.devnull, "wb") as self.destination, \
             contextlib.suppress(EOFError):
            self.follow()


def complaints(errors):
    """What a QEMU has said, but for what each says in an emulated host."""
    try:
        with open(errors, encoding="ascii", errors="replace") as file:
            return [line for line in file.read().splitlines()
                    if "TCE64" not in line]
    except FileNotFoundError:
        return []


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path, process, errors):
        self.events = []
        deadline = time.monotonic() + 60
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            try:
                self.sock.connect(path)
                self.sock.settimeout(120)
                self.file = self.sock.makefile("r", encoding="utf-8")
                self.file.readline()
                self.call("qmp_capabilities")
                break
            except (OSError, Failure):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failure("QEMU did not come up: " +
                                  "; ".join(complaints(errors))) from None
                time.sleep(0.1)

    def call(self, command, files=(), **arguments):
        """Run a command. QEMU gets files with it, which are descriptors."""
        line = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                   struct.pack(f"{len(files)}i", *files))]
        self.sock.sendmsg([line.encode()], rights if files else [])
        while True:
            line = self.file.readline()
            if not line:
                raise Failure(f"QEMU went away at {command}")
            reply = json.loads(line)
            if "event" in reply:
                self.events.append(reply)
            if "error" in reply:
                raise Failure(f"{command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]

    def memory(self, command, address, size, name):
        """What memsave or pmemsave, as named, saves to a file."""
        # QEMU's addresses are signed.
        signed = address - (address >> 63 << 64)
        self.call(command, val=signed, size=size, filename=name)
        with open(name, "rb") as f:
            return f.read()

    def hmp(self, line):
        return self.call("human-monitor-command",
                         **{"command-line": line}).strip()


class Machine:
    """A QEMU with the guest, or waiting for it."""

    def __init__(self, name, *options, memory="512M", machine="",
                 results="/results", radix=False, append="",
                 program="qemu-system-ppc64", kind="pseries"):
        self.name = name
        self.results = results
        self.dir = f"/tmp/{name}"
        os.makedirs(self.dir, exist_ok=True)
        self.console = f"{results}/{name}.console"
        open(self.console, "w", encoding="ascii").close()
        self.errors = f"{results}/{name}.stderr"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [program, "-M", f"{kind},accel=kvm,kvm-type=HV,"
                 "cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
                 f"cap-ccf-assist=off{machine}", "-m", memory, "-nodefaults",
                 "-display", "none", "-chardev", f"socket,id=console,path="
                 f"{self.dir}/console,server=on,wait=off,"
                 f"logfile={self.console}", "-serial", "chardev:console",
                 "-qmp", f"unix:{self.dir}/qmp,server=on,wait=off",
                 "-kernel", "/guest/vmlinux", "-initrd", "/guest.cpio",
                 "-append", "console=hvc0 loglevel=1 panic=-1"
                 f"{' disable_radix' * (not radix)} {append}",
                 *options], stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors)
        self.qmp = Qmp(f"{self.dir}/qmp", self.process, self.errors)

    def call(self, command, **arguments):
        return self.qmp.call(command, **arguments)

    def hmp(self, line):
        """Run a command of the monitor that prints only if it fails."""
        answer = self.qmp.hmp(line)
        if answer:
            raise Failure(f"{line}: {answer.splitlines()[-1]}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def text(self):
        with open(self.console, encoding="ascii", errors="replace") as f:
            return f.read()

    def status(self):
        return self.call("query-status")["status"]

    def wait_for_arrival(self):
        """Wait until the incoming migration has arrived."""
        while self.status() == "inmigrate":
            time.sleep(0.1)

    def lines(self, offset=0):
        return len(re.findall(r"^guest: .*$\n", self.text()[offset:], re.M))

    def wait_for_lines(self, count, offset=0, limit=180):
        """Wait until the guest has printed that many more lines."""
        deadline = time.monotonic() + limit
        wanted = self.lines(offset) + count
        while self.lines(offset) < wanted:
            if self.process.poll() is not None:
                raise Failure(f"QEMU ({self.name}) ended")
            if time.monotonic() > deadline:
                raise Failure(f"no sign of life from the guest ({self.name})")
            time.sleep(0.2)

    def hpt_reader(self):
        """The htab-NAME lines in fdinfo of the file from which a migration
        reads the HPT, or none.
        """
        for link in glob.glob(f"/proc/{self.process.pid}/fd/*"):
            try:
                if "kvm-htab" not in os.readlink(link):
                    continue
                with open(link.replace("/fd/", "/fdinfo/"),
                          encoding="ascii") as f:
                    told = dict(re.findall(r"^htab-(\S+):\s*(\S+)$",
                                           f.read(), re.M))
            except OSError:
                # It has just been closed.
                continue
            if told.get("mode") == "read":
                return told
        return {}

    def dump_hpt(self, when):
        """Keep the guest's view of the HPT as it is now, and return it."""
        shown = glob.glob(f"/sys/kernel/debug/kvm/{self.process.pid}-*/htab")
        if len(shown) != 1:
            raise Failure(f"KVM shows no HPT for QEMU ({self.name})")
        copy = f"{self.results}/{when}.hpt"
        shutil.copyfile(shown[0], copy)
        return hptdiff.load(copy)


def migrate_info(machine):
    info = machine.call("query-migrate")
    return info["status"], info.get("ram", {}), info


def migrated(machine):
    """QEMU's information about a migration, once that has completed."""
    status, _, info = migrate_info(machine)
    if status == "completed":
        return info
    if status not in ("setup", "active", "device"):
        raise Failure(f"the migration: {status} {info.get('error-desc', '')}")
    return None


def unbroken(text):
    """Whether a guest's output has every line and no complaint."""
    lines = re.findall(r"^guest: (\d+) (\w+) rounds (\d+) at .*$", text, re.M)
    if "GUEST FAIL" in text or any(state != "ok" for _, state, _ in lines):
        return False, "the guest's memory is not what it was"
    if [int(n) for n, _, _ in lines] != list(range(1, len(lines) + 1)):
        return False, "a line is missing or came twice"
    if not lines:
        return False, "there is none"
    return True, (f"lines 1 to {len(lines)}, memory checked in "
                  f"{lines[-1][2]} rounds")
