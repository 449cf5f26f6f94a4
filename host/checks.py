# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What is checked on a board before and after its bitstream is loaded, so that a mistake has a name (docs/run.md)."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bitwright.host.bitfile import check_part, read_bit, same_device
from bitwright.host.bundle import Bundle
from bitwright.host.errors import BundleError, DeviceError

#: Device and package by the name that a PYNQ image has in the environment variable BOARD.
PYNQ_BOARDS = {
    "Pynq-Z1": "xc7z020clg400", "Pynq-Z2": "xc7z020clg400", "Ultra96": "xczu3eg-sbva484", "ZCU104": "xczu7ev-ffvc1156",
    "ZCU111": "xczu28dr-ffvg1517", "RFSoC2x2": "xczu28dr-ffvg1517", "RFSoC4x2": "xczu48dr-ffvg1517",
    "KV260": "xck26-sfvc784", "KR260": "xck26-sfvc784", "AUP-ZU3": "xczu3eg-sfvc784", "ZUBoard_1CG": "xczu1cg-sbva484",
}  # fmt: skip
#: Kinds of blocks: how their VLNV begins without vendor and library.
BLOCKS = {"axi_dma": "axi_dma", "engine": "bw_engine"}
#: How names of instances begin that stand for themselves: FINN's blocks have a VLNV of their own in every build.
INSTANCES = ("idma", "odma")


def check_environment(pynq_version: str, root: Path = Path("/"), environment: Mapping[str, str] | None = None,
                      machine: str | None = None, user: int | None = None) -> None:  # fmt: skip
    """Refuse a machine on which pynq cannot work, with the cure. Raises DeviceError."""
    environment = os.environ if environment is None else environment
    machine = platform.machine() if machine is None else machine
    user = os.geteuid() if user is None else user
    if machine not in ("armv7l", "aarch64"):
        raise DeviceError(
            f"device pynq: this machine is {machine}, not a Zynq board; use device='sim' here, or run this on the board"
        )
    if user != 0:
        raise DeviceError("device pynq: pynq needs root for /dev/mem; run this with: sudo -E python3 ...")
    if "XILINX_XRT" not in environment:
        raise DeviceError(
            "device pynq: XILINX_XRT is not set, so pynq finds no device; run: source /etc/profile.d/xrt_setup.sh, and "
            "keep the environment with sudo -E"
        )
    for path, what in (("dev/mem", "the kernel has no /dev/mem"),
                       ("sys/class/fpga_manager/fpga0", "the kernel has no FPGA manager")):  # fmt: skip
        if not (root / path).exists():
            raise DeviceError(f"device pynq: /{path} is missing: {what}; use a PYNQ image (docs/run.md)")
    if machine == "armv7l" and int(pynq_version.split(".")[0]) >= 4:
        raise DeviceError(
            f"device pynq: pynq {pynq_version} does not run on Zynq-7000 (armv7l); install 3.0.1 to 3.1.2: "
            "pip install 'pynq<4' 'pycparser<3'"
        )


def check_board(bundle: Bundle, environment: Mapping[str, str] | None = None, machine: str | None = None) -> None:
    """Refuse a bundle for another board, before anything is loaded. Raises DeviceError with both parts."""
    environment = os.environ if environment is None else environment
    machine = platform.machine() if machine is None else machine
    part, name = str(bundle.manifest["part"]), environment.get("BOARD", "")
    here = PYNQ_BOARDS.get(name)
    if here is not None and not same_device(here, part):
        raise DeviceError(
            f"{bundle.root}: compiled for {bundle.manifest['board']} ({part}), this board is {name} ({here}); compile "
            "the model for this board"
        )
    wanted = "armv7l" if part.startswith("xc7z") else "aarch64"
    if machine in ("armv7l", "aarch64") and machine != wanted:
        raise DeviceError(
            f"{bundle.root}: compiled for {bundle.manifest['board']} ({part}), whose processor is {wanted}; this one "
            f"is {machine}; compile the model for this board"
        )


def check_files(bundle: Bundle) -> Path:
    """The bitstream, after checking that it and its .hwh are there, unchanged and for the bundle's part.

    Raises BundleError: file, expected, found.
    """
    bitstream, part = bundle.artifact("bitstream"), str(bundle.manifest["part"])
    if bitstream is None:
        raise BundleError(
            f"{bundle.root}: the bundle has no bitstream yet; make one with `bitwright build` (docs/build.md)"
        )
    handoff = bundle.artifact("hwh")
    if handoff is None or handoff.stem != bitstream.stem or handoff.parent != bitstream.parent:
        raise BundleError(
            f"{bitstream}: pynq needs {bitstream.with_suffix('.hwh').name} beside it, the manifest names "
            f"{handoff.name if handoff else 'none'}; copy the .hwh of the same build there and name it in the manifest"
        )
    for file in (bitstream, handoff):
        if not file.is_file():
            raise BundleError(f"{file}: missing; copy it from the build, or run `bitwright build` again")
        expected = bundle.manifest.get("files", {}).get(file.relative_to(bundle.root).as_posix())
        found = hashlib.sha256(file.read_bytes()).hexdigest()
        if expected is not None and found != expected:
            raise BundleError(
                f"{file}: sha256 {found[:12]}…, the manifest says {expected[:12]}…: another build's file; run "
                "`bitwright build` again"
            )
    check_part(read_bit(bitstream), part, bitstream)
    check_handoff(handoff, part)
    return bitstream


def check_handoff(path: Path, part: str) -> None:
    """Refuse a .hwh of another device. Raises BundleError with both."""
    try:
        info = ElementTree.parse(path).getroot().find("SYSTEMINFO")
    except ElementTree.ParseError as error:
        raise BundleError(f"{path}: not a hardware handoff file ({error}); copy it from the build again") from None
    if info is None:
        raise BundleError(f"{path}: not a hardware handoff file (no SYSTEMINFO); copy it from the build again")
    device, package = info.get("DEVICE", ""), info.get("PACKAGE", "")
    found = device + package if device.removeprefix("xc").startswith("7") else f"{device}-{package}"
    if not same_device(found, part):
        raise BundleError(
            f"{path}: is of a design for {found}, the bundle is for {part}: a stale .hwh; use the build's"
        )


def find_block(kind: str, ip_dict: Mapping[str, Any], where: str | Path) -> tuple[str, Mapping[str, Any]]:
    """Name and entry of the one block of a kind (`BLOCKS`, `INSTANCES`). Raises DeviceError with what there is."""
    if kind.startswith(INSTANCES):
        wanted = kind
        found = [(name, v) for name, v in ip_dict.items() if name.rsplit("/", 1)[-1] == wanted]
    else:
        wanted = BLOCKS[kind]
        found = [(name, v) for name, v in ip_dict.items() if f":{wanted}:" in str(v.get("type", ""))]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{name} ({v.get('type', '?')})" for name, v in ip_dict.items()) or "nothing"
    raise DeviceError(
        f"{where}: the design has {len(found)} blocks {wanted}, one is expected; it has: {there}. The bitstream or its "
        ".hwh is not of this bundle"
    )


def find_interrupt(block: str, overlay: Any) -> tuple[str, list[int], int]:
    """Interrupt controller of a block's pins, its inputs that they drive, and its own number in the kernel.

    Args: overlay: of pynq, with `interrupt_pins` and `interrupt_controllers`. Raises DeviceError: none, or nested.
    """
    pins = {n: p for n, p in overlay.interrupt_pins.items() if n.rpartition("/")[0] == block}
    parents = sorted({str(pin["controller"]) for pin in pins.values()})
    if len(parents) != 1 or parents[0] not in overlay.interrupt_controllers:
        raise DeviceError(f"the design connects no interrupt of {block} to an AXI interrupt controller")
    controller = overlay.interrupt_controllers[parents[0]]
    if controller.get("parent"):
        raise DeviceError(f"the interrupt controller of {block}, {parents[0]}, is behind another one")
    return parents[0], sorted(int(pin["index"]) for pin in pins.values()), int(controller["raw_irq"])


def check_clock(expected_mhz: float, found_mhz: float) -> None:
    """Refuse a clock that is off by more than 1 %. Raises DeviceError with both."""
    if abs(found_mhz - expected_mhz) > 0.01 * expected_mhz:
        raise DeviceError(
            f"clock: the programmable logic runs at {found_mhz:.3f} MHz, the design is made for {expected_mhz:.3f} "
            "MHz. On boards whose crystal is not pynq's 50 MHz (Zybo: 33.33 MHz) the first figure is pynq's mistake: "
            "load with check_clock=False there; else set pynq.Clocks.fclk0_mhz"
        )
