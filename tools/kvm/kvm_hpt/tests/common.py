# SPDX-License-Identifier: GPL-2.0
"""Run the tool, and report the results."""
import json
import os
import random
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    jsonschema = None

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "golden")
TOP = os.path.join(HERE, "..")

# The environment of a test: no terminal, nothing that enables colours
CLEAN = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC",
         "KVM_HPT_DEBUGFS": "/nonexistent",
         "ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}

# The files that --update writes, and with which other runs compare
update = False

# The only subject to run, or None
only = None

# What takes longer than the tool itself is not done for all: AddressSanitizer, with
# its search for leaks, checks one call in so many, and of an array so many elements
# are held to the schema
asan_in = 10
elements = 20
chance = random.Random(1)

done = []
names = set()
exit_codes = set()


def result(name, problem=""):
    # Readers of TAP identify tests by name
    if name in names:
        problem = problem or "another test has this name"
    names.add(name)
    done.append(not problem)
    print(f"{'not ' * bool(problem)}ok {len(done)} - {name}")
    for line in str(problem).splitlines()[:20] if problem else []:
        print(f"#   {line}")
    sys.stdout.flush()


def some_of(found):
    """The same, with only some elements of long arrays: validation is slow."""
    if isinstance(found, dict):
        return {key: some_of(value) for key, value in found.items()}
    if isinstance(found, list):
        if len(found) > elements:
            found = chance.sample(found, elements)
        return [some_of(value) for value in found]
    return found


def hold_to_schema(command, found):
    """All JSON output must conform to kvm-hpt.schema.json."""
    if not jsonschema:
        return
    with open(os.path.join(TOP, "kvm-hpt.schema.json"), encoding="ascii") as f:
        schema = json.load(f)
    schema["$ref"] = f"#/$defs/{command}"
    jsonschema.Draft202012Validator(schema).validate(some_of(found))


class Tool:
    """Runs the program, with files in a directory of its own."""

    def __init__(self, programs, directory):
        self.program, self.directory = os.path.abspath(programs[0]), directory
        self.quick = os.path.abspath(programs[1 if len(programs) > 2 else 0])
        self.static = os.path.abspath(programs[-1])
        self.calls = 0

    def file(self, name, data):
        with open(os.path.join(self.directory, name), "wb") as file:
            file.write(data)
        return name

    def run(self, *args, stdin=None, **env):
        self.calls += 1
        program = self.quick if self.calls % asan_in else self.program
        done = subprocess.run([program, *map(str, args)],
                              cwd=self.directory, input=stdin or b"",
                              capture_output=True, timeout=120,
                              env={**CLEAN, **env}, check=False)
        if done.returncode not in range(5):
            raise AssertionError(f"exit code {done.returncode}: "
                                 f"{done.stderr.decode()[:2000]}")
        exit_codes.add(done.returncode)
        return (done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, *args, **how):
        code, out, err = self.run(*args, "--json", **how)
        found = json.loads(out)
        hold_to_schema(args[0], found)
        return code, found, err
