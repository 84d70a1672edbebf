# SPDX-License-Identifier: GPL-2.0
"""Watching and listing HPT files, saving an HPT."""
import json
import os
import shutil
import subprocess
import time

import hpt
from common import CLEAN, hold_to_schema, result
from tables import kernel
from test_output import golden

READER = {"mode": "read", "state": "current", "flags": "0x0", "hptes": 262144,
          "pass": 1, "position": 65536, "first-left": 196608,
          "first-bytes": 3145728, "changed": 17, "changed-bytes": 408,
          "read-valid": 20000, "read-invalid": 45536, "read-bytes": 420000}
WRITER = {"mode": "write", "state": "current", "flags": "0x2", "hptes": 262144,
          "written-valid": 500, "written-invalid": 7, "written-bytes": 9000,
          "refused": 1, "refused-index": 4660}


class Proc:
    """A /proc with a process."""

    def __init__(self, tool):
        self.tool = tool
        self.root = os.path.join(tool.directory, "proc")
        shutil.rmtree(self.root, ignore_errors=True)
        self.dir = os.path.join(self.root, "123")
        os.makedirs(os.path.join(self.dir, "fd"))
        os.makedirs(os.path.join(self.dir, "fdinfo"))
        self.add(0, {}, "/dev/null")
        self.add(9, {}, "anon_inode:kvm-vm")

    def add(self, fd, fields, link="anon_inode:kvm-htab"):
        with open(os.path.join(self.dir, "fdinfo", str(fd)), "w",
                  encoding="ascii") as file:
            file.write("pos:\t0\nflags:\t02000000\nmnt_id:\t14\nino:\t1057\n")
            for name, value in fields.items():
                file.write(f"htab-{name}:\t{value}\n")
        # It can be found only from now on
        os.symlink(link, os.path.join(self.dir, "fd", str(fd)))
        return self

    def remove(self, fd):
        os.remove(os.path.join(self.dir, "fd", str(fd)))

    def watch(self, *args, **env):
        return self.tool.run("watch", *args, "123", KVM_HPT_PROC=self.root,
                             **env)


def test_watch(tool):
    for name, fields in (
            ("reader", READER),
            ("later", {**READER, "pass": 5, "position": 200000,
                       "first-left": 0, "first-bytes": 0}),
            ("bolted", {**READER, "flags": "0x1"}),
            ("none", {**READER, "state": "none", "hptes": 0, "position": 0}),
            ("stale", {**READER, "state": "stale"}),
            ("writer", WRITER),
            ("little", {"mode": "read", "state": "current", "pass": 2})):
        proc = Proc(tool).add(23, fields)
        code, out, err = proc.watch("-n", 1)
        golden(f"watch-{name}.txt", out + err)
        code, out, err = proc.watch("-n", 1, "--json")
        got = json.loads(out)["fds"][0]
        want = {key.replace("-", "_"): int(value, 0) if
                isinstance(value, str) and value[0] == "0" else value
                for key, value in fields.items()}
        got.pop("rate")
        result(f"watch: {name} as JSON", "" if got == {"fd": 23, **want} and
               not code else out)
    most = {"hptes": 1 << 32, "position": 1 << 31, "pass": 100,
            "first-left": 1 << 32, "changed": 1 << 32, "read-bytes": 1 << 36,
            "written-valid": 1 << 32, "written-invalid": 1 << 32,
            "written-bytes": 1 << 36, "refused-index": (1 << 32) - 1}
    for name, fields in ("reader", READER), ("writer", WRITER):
        numbers = {key: most.get(key, value) for key, value in fields.items()}
        for nr in 1, 100:
            numbers["pass"] = nr
            _, out, _ = Proc(tool).add(123, numbers).watch("-n", 1)
            wide = max(map(len, out.splitlines()))
            result(f"watch: a {name} of the largest HPT, pass {nr}, in 80 columns",
                   "" if wide < 80 and (name == "reader" or "refused" in out)
                   else out)
    proc = Proc(tool).add(23, READER).add(24, WRITER)
    _, out, _ = proc.watch("-n", 1)
    result("watch: two at once", "" if len(out.splitlines()) == 2 else out)
    _, out, _ = proc.watch("-n", 3, "-t", 0)
    result("watch: as often as asked for",
           "" if len(out.splitlines()) == 6 else out)
    _, out, _ = Proc(tool).add(23, READER).watch("-n", 1, COLUMNS="120")
    result("watch: as wide as COLUMNS says",
           "" if len(out.strip()) > 100 else out)

    for name, fds, text in (
            ("no HPT file", [], "no HPT file open"),
            ("an old kernel", [23], "this kernel does not report")):
        proc = Proc(tool)
        for fd in fds:
            proc.add(fd, {})
        code, out, err = proc.watch()
        result(f"watch: {name}", "" if code == 4 and text in err and not out
               else f"{code} {out}{err}")
    code, out, err = tool.run("watch", 124, KVM_HPT_PROC=proc.root)
    result("watch: no process", "" if code == 4 and
           "process 124 does not exist" in err else err)
    code, out, err = tool.run("watch", "../123", KVM_HPT_PROC=proc.root)
    result("watch: what is no number", "" if code == 2 else err)


def test_watch_to_the_end(tool):
    """It waits for the file, follows it and exits when it is closed."""
    proc = Proc(tool)
    with subprocess.Popen([tool.program, "watch", "-w", "-t", "0.01", "123"],
                          env={**CLEAN, "KVM_HPT_PROC": proc.root}, text=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        proc.add(23, READER)
        first = child.stdout.readline()
        proc.remove(23)
        rest, err = child.communicate()
    last = rest.splitlines()[-1] if rest else ""
    good = (child.returncode == 0 and first.startswith("fd 23") and
            last == "fd 23 closed in pass 1: 20000 valid and 45536 "
            "invalid HPTEs")
    result("watch: until it ends", "" if good else first + rest + err)

    # A destination opens a file for each section
    proc = Proc(tool)
    with subprocess.Popen([tool.program, "watch", "-w", "-t", "0.01", "123"],
                          env={**CLEAN, "KVM_HPT_PROC": proc.root}, text=True,
                          stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        seen = []
        for fd in 23, 24, 25:
            proc.add(fd, WRITER)
            line = child.stdout.readline()
            while line.startswith(f"fd {fd - 1} "):
                line = child.stdout.readline()
            seen.append(line[:5])
            if fd < 25:
                proc.remove(fd)
                # So that there is none most of the time
                time.sleep(0.2)
        os.rename(proc.dir, proc.dir + "-gone")
        try:
            rest, err = child.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            rest, err = child.communicate()
    last = rest.splitlines()[-1] if rest else ""
    result("watch: file after file of a destination, until it ends",
           "" if seen == ["fd 23", "fd 24", "fd 25"] and not err and
           last == "fd 25 closed: 500 valid and 7 invalid HPTEs" and
           not child.returncode else f"{seen} {rest} {err}")


def other(proc, pid, fds, cmdline=b"qemu\0-name\0guest=vm,x=y\0", comm="qemu"):
    """Another process."""
    directory = os.path.join(proc.root, str(pid))
    shutil.copytree(proc.dir, directory, symlinks=True)
    for fd in os.listdir(os.path.join(directory, "fd")):
        if int(fd) not in (0, 9, *fds):
            os.remove(os.path.join(directory, "fd", fd))
    with open(os.path.join(directory, "cmdline"), "wb") as file:
        file.write(cmdline)
    with open(os.path.join(directory, "comm"), "w", encoding="ascii") as file:
        file.write(comm + "\n")


def test_processes(tool):
    """Without a process ID."""
    proc = Proc(tool)
    where = {"KVM_HPT_PROC": proc.root}
    other(proc, 7, [])
    for command in "watch", "list":
        code, out, err = tool.run(command, **where)
        result(f"{command}: no process has any", "" if code == 4 and not out and
               "no accessible process has an HPT file" in err
               else f"{code} {out}{err}")
    code, found, _ = tool.json("list", **where)
    result("list: no process, as JSON", "" if code == 4 and
           found == {"processes": [], "vms": []} else found)
    proc.add(23, READER)
    with open(os.path.join(proc.dir, "cmdline"), "wb") as file:
        file.write(b"qemu-system-ppc64\0-name\0one\0-M\0pseries\0")
    code, out, err = tool.run("watch", "-n", 1, **where)
    result("watch: the only process", "" if not code and
           out.startswith("fd 23") else out + err)
    code, out, err = tool.run("watch", "-w", "-n", 1, **where)
    result("watch: waiting for the only process", "" if not code and
           out.startswith("fd 23") else out + err)
    for fd in range(100, 300):
        proc.add(fd, WRITER)
    code, out, _ = tool.run("watch", "-n", 1, **where)
    result("watch: 201 files", "" if len(out.splitlines()) == 201 else
           len(out.splitlines()))
    other(proc, 456, [23])
    other(proc, 45, [100], b"prog\0", "prog")
    code, out, err = tool.run("watch", "-n", 1, **where)
    result("watch: which of three processes", "" if code == 2 and not out and
           all(name in err for name in ("123  one", "456  vm", "45  prog"))
           else f"{code} {out} {err}")
    for fd in range(100, 300):
        proc.remove(fd)
    code, out, _ = tool.run("list", **where)
    golden("list-processes.txt", out)
    code, found, _ = tool.json("list", **where)
    result("list: processes as JSON", "" if not code and
           [(p["pid"], p["name"], [fd["fd"] for fd in p["fds"]])
            for p in found["processes"]] ==
           [(45, "prog", [100]), (123, "one", [23]), (456, "vm", [23])]
           else found)


def vms(tool, **numbers):
    """Statistics of VMs, in what is debugfs then."""
    root = os.path.join(tool.directory, "stats")
    shutil.rmtree(root, ignore_errors=True)
    for name, number in numbers.items():
        os.makedirs(os.path.join(root, name))
        if number is not None:
            with open(os.path.join(root, name, "hpt_no_memory"), "w",
                      encoding="ascii") as file:
                file.write(f"{number}\n")
    return {"KVM_HPT_DEBUGFS": root}


def test_no_memory(tool):
    """HPTs that a VM was refused are seen, whatever else there is."""
    proc = Proc(tool).add(23, READER)
    where = vms(tool, **{"123-12": 3, "123-4": 1, "123-5": 0, "123-6": None,
                         "1234-5": 7, "23-5": 9, "vcpu123-5": 2})
    mine = ["VM 123-4: 1 HPT could not be allocated",
            "VM 123-12: 3 HPTs could not be allocated"]
    others = ["VM 23-5: 9 HPTs could not be allocated", *mine,
              "VM 1234-5: 7 HPTs could not be allocated"]
    code, out, err = proc.watch("-n", 1, **where)
    result("watch: HPTs that could not be allocated", "" if not code and
           out.startswith("fd 23") and out.splitlines()[1:] == mine and not err
           else out + err)
    code, out, _ = proc.watch("-n", 1, "--json", **where)
    found = json.loads(out)
    hold_to_schema("watch", found)
    result("watch: HPTs that could not be allocated, as JSON", "" if not code and
           found["vms"] == [{"vm": "123-4", "no_memory": 1},
                            {"vm": "123-5", "no_memory": 0},
                            {"vm": "123-12", "no_memory": 3}] else found["vms"])
    where["KVM_HPT_PROC"] = proc.root
    code, out, _ = tool.run("list", **where)
    result("list: HPTs that could not be allocated", "" if not code and
           out.splitlines()[2:] == others else out)
    code, found, _ = tool.json("list", **where)
    result("list: HPTs that could not be allocated, as JSON", "" if not code and
           [(vm["vm"], vm["no_memory"]) for vm in found["vms"]] ==
           [("23-5", 9), ("123-4", 1), ("123-5", 0), ("123-12", 3), ("1234-5", 7)]
           else found)
    proc.remove(23)
    for name, args, want in (("watch: of a process without HPT files",
                              ["watch", "123"], mine),
                             ("watch: without a process with HPT files",
                              ["watch"], others),
                             ("list: without a process with HPT files",
                              ["list"], others)):
        code, out, err = tool.run(*args, **where)
        lines = [line.partition(": ")[2] for line in err.splitlines()]
        result(f"{name}, HPTs that could not be allocated", "" if code == 4 and
               not out and "HPT file open" in lines[0] and lines[1:] == want
               else f"{code} {out} {err}")
    where = vms(tool, **{"123-4": 0})
    code, out, _ = proc.add(23, READER).watch("-n", 1, **where)
    result("watch: no HPT that could not be allocated", "" if not code and
           len(out.splitlines()) == 1 else out)


def test_save(tool):
    root = os.path.join(tool.directory, "debugfs")
    text = hpt.debugfs(kernel(18), True)
    for name, data in (("12-3", text), ("123-4", b""), ("13-4", text),
                       ("13-5", text), ("14-5", None)):
        os.makedirs(os.path.join(root, name))
        if data is not None:
            with open(os.path.join(root, name, "htab"), "wb") as file:
                file.write(data)
    where = {"KVM_HPT_DEBUGFS": root}
    code, _, err = tool.run("save", 12, "-o", "saved", **where)
    with open(os.path.join(tool.directory, "saved"), "rb") as file:
        result("save: into a file", "" if not code and file.read() == text
               else err)
    code, out, _ = tool.run("save", 12, **where)
    result("save: to the output", "" if not code and out.encode() == text
           else out[:200])
    code, found, _ = tool.json("dump", "-O", 18, "saved")
    result("save: what dump reads", "" if not code and
           len(found["hptes"]) == len(kernel(18).hptes) else found)
    for pid, text in ((123, "empty: the guest has no HPT"),
                      (13, "several VMs"), (14, "no VM"), (1, "no VM")):
        code, out, err = tool.run("save", pid, "-o", "nothing", **where)
        result(f"save: of process {pid}", "" if code == 4 and text in err and
               not os.path.exists(os.path.join(tool.directory, "nothing"))
               else f"{code} {out} {err}")
    code, _, err = tool.run("save", 12, KVM_HPT_DEBUGFS="/nonexistent")
    result("save: without debugfs", "" if code == 4 and "can't read" in err
           else err)
    code, _, err = tool.run("save", 12, "-o", "/dev/full", **where)
    result("save: to a full disk", "" if code == 3 and "can't write" in err
           else err)
