# SPDX-License-Identifier: GPL-2.0
"""Snapshots in qcow2 images."""
import hpt
from common import result
from hpt import first_pass, qemu
from tables import kernel


def test_images(tool):
    """qcow2 images that can't be read."""
    state = qemu(18, [first_pass(kernel(18))])
    image = hpt.qcow2([("one", state)])
    plain = hpt.qcow2([("one", b"")])

    def patch(at, number, size=4):
        return image[:at] + number.to_bytes(size, "big") + image[at + size:]

    snapshot = int.from_bytes(image[64:72], "big")
    for name, data, options, text in (
            ("too short", image[:50], [], "too short"),
            ("version 1", patch(4, 1), [], "neither 2 nor 3"),
            ("tiny clusters", patch(20, 8), [], "impossible size"),
            ("huge clusters", patch(20, 22), [], "impossible size"),
            ("encrypted", patch(32, 1), [], "encrypted"),
            ("external data", patch(72, 4, 8), [], "external data"),
            ("no snapshot", patch(60, 0), [], "no snapshot"),
            ("no state", plain, [], "no snapshot"),
            ("another name", image, ["-S", "three"], "no snapshot of this name"),
            ("tables too large", patch(snapshot + 8, 1 << 30), [],
             "tables are too large"),
            ("tables elsewhere", patch(snapshot, 1 << 40, 8), [],
             "tables are not in the image"),
            ("a state larger than the image", patch(snapshot + 40, 1 << 50, 8),
             [], "larger than the image"),
            ("a compressed cluster", compressed(state), [], "is compressed")):
        file = tool.file("image", data)
        codes, errors = set(), ""
        for command in "check", "dump":
            code, out, err = tool.run(command, file, *options)
            codes.add(code)
            errors = out + err
        result(f"image: {name}", "" if codes == {3} and text in errors else
               f"{codes} {errors}")


def compressed(state):
    image = bytearray(hpt.qcow2([("one", state)]))
    snapshot = int.from_bytes(image[64:72], "big")
    level1 = int.from_bytes(image[snapshot:snapshot + 8], "big")
    level2 = int.from_bytes(image[level1 + 8:level1 + 16], "big") & ~(1 << 63)
    image[level2] |= 0x40
    return bytes(image)
