# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The frame of all routes: steps in order, resumed after an interrupt, logs, first errors, the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bitwright.boards import load_board
from bitwright.compile.build import BuildError, Job, Step, build, find_tool, first_error, load_route
from bitwright.compile.build.tools import run_logged
from bitwright.errors import ToolMissingError


def bundle_of(folder: Path, board: str = "pynq-z2", **changes: object) -> Path:
    out = folder / "out"
    (out / "project").mkdir(parents=True)
    (out / "project" / "top.v").write_text("module top; endmodule\n")
    manifest = {
        "schema": 1, "name": "net", "board": board, "part": load_board(board).part, "backend": "engine",
        "project": "project", "artifacts": {"bitstream": None, "hwh": None}, "files": {}, "clock_mhz": 100.0,
        "transport": {"kind": "engine"},
    }  # fmt: skip
    (out / "manifest.json").write_text(json.dumps(manifest | changes))
    return out


class Fake:
    """A route of three steps that write what they were told to."""

    name = "fake"

    def __init__(self, *wrong: str) -> None:
        self.ran: list[str] = []
        self.wrong = wrong

    def check(self, job: Job) -> None:
        if job.manifest["name"] == "refused":
            raise BuildError("not this one")

    def steps(self, job: Job) -> Sequence[Step]:
        return [
            Step("one", "first", self._step("one"), ("one.txt",)),
            Step("two", "second", self._step("two"), ("two.txt", "parts")),
            Step("three", "third", self._step("three"), ("net.bit",)),
        ]

    def _step(self, name: str) -> Callable[[Job], None]:
        def run(job: Job) -> None:
            self.ran.append(name)
            if name in self.wrong:
                raise BuildError("it went wrong")
            job.note(f"this is {name}")
            job.facts[name] = len(job.facts)
            if name == "one":
                (job.folder / "one.txt").write_text((job.project / "top.v").read_text())
                job.tools["maker"] = "1.2"
            if name == "two":
                (job.folder / "parts").mkdir(exist_ok=True)
                (job.folder / "two.txt").write_text("2")
                job.give("hwh", job.folder / "two.txt", "net.hwh", made="generated", by="bitwright")
            if name == "three":
                (job.folder / "net.bit").write_bytes(b"bits")
                job.facts["clock_mhz"] = 50.0
                job.give("bitstream", job.folder / "net.bit", "net.bit", made="built", by="maker 1.2")

        return run


def test_a_build_ends_in_the_manifest(tmp_path: Path) -> None:
    out, route, told = bundle_of(tmp_path), Fake(), []
    result = build(out, route, listen=lambda step, n, of, event, _: told.append((step.name, n, of, event)))
    assert result.complete and route.ran == ["one", "two", "three"]
    assert told[:2] == [("one", 1, 3, "start"), ("one", 1, 3, "done")] and told[-1] == ("three", 3, 3, "done")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["artifacts"] == {"bitstream": "bitstream/net.bit", "hwh": "bitstream/net.hwh"}
    assert manifest["files"]["bitstream/net.bit"] == hashlib.sha256(b"bits").hexdigest()
    assert manifest["clock_mhz"] == 50.0
    record = manifest["build"]
    assert record["route"] == "fake" and record["tools"]["maker"] == "1.2" and record["tools"]["bitwright"]
    assert record["files"]["bitstream/net.bit"] | {"sha256": ""} == {
        "kind": "bitstream", "made": "built", "by": "maker 1.2", "sha256": ""
    }  # fmt: skip
    assert record["files"]["bitstream/net.hwh"]["made"] == "generated" and record["three"] == 2
    assert (out / "build" / "fake" / "logs" / "two.log").read_text() == "this is two\n"


def test_a_second_build_replaces_what_the_first_made(tmp_path: Path) -> None:
    out = bundle_of(tmp_path)
    build(out, Fake())
    other = Fake()
    other.steps = lambda job: Fake.steps(other, job)[:2]  # type: ignore[method-assign]
    other.name = "other"
    build(out, other)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["artifacts"] == {"bitstream": None, "hwh": "bitstream/net.hwh"}
    assert set(manifest["files"]) == {"bitstream/net.hwh"} and not (out / "bitstream" / "net.bit").exists()


def test_resuming_runs_only_what_is_left(tmp_path: Path) -> None:
    out = bundle_of(tmp_path)
    with pytest.raises(BuildError, match="step two: it went wrong"):
        build(out, Fake("two"))
    assert json.loads((out / "manifest.json").read_text())["artifacts"]["bitstream"] is None
    route = Fake()
    result = build(out, route, resume=True)
    assert route.ran == ["two", "three"] and [s[1] for s in result.steps] == ["skipped", "done", "done"]
    assert result.record["one"] == 0 and result.record["two"] == 1, "facts of skipped steps are kept"
    again = Fake()
    assert build(out, again, resume=True).complete and again.ran == []
    whole = Fake()
    build(out, whole)
    assert whole.ran == ["one", "two", "three"]


@pytest.mark.parametrize("damage", ["one.txt", "two.txt"])
def test_a_changed_output_is_made_again(tmp_path: Path, damage: str) -> None:
    out = bundle_of(tmp_path)
    build(out, Fake())
    (out / "build" / "fake" / damage).write_text("changed")
    route = Fake()
    build(out, route, resume=True)
    assert route.ran == ["one", "two", "three"][["one.txt", "two.txt"].index(damage) :]


def test_another_project_cannot_be_resumed(tmp_path: Path) -> None:
    out = bundle_of(tmp_path)
    build(out, Fake(), until="one")
    (out / "project" / "top.v").write_text("module other; endmodule\n")
    with pytest.raises(BuildError, match="another project, board, clock or version; build without --resume"):
        build(out, Fake(), resume=True)


def test_until(tmp_path: Path) -> None:
    out, route = bundle_of(tmp_path), Fake()
    result = build(out, route, until="two")
    assert route.ran == ["one", "two"] and not result.complete and not result.record
    with pytest.raises(BuildError, match="has no step 'tow'; there are one, two, three; did you mean two"):
        build(out, route, until="tow")


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not a bundle"):
        build(tmp_path, Fake())
    with pytest.raises(BuildError, match=r"route 'vivade' is unknown; .*did you mean vivado"):
        load_route("vivade")
    with pytest.raises(BuildError, match="not this one"):
        build(bundle_of(tmp_path / "a", name="refused"), Fake())
    assert not (tmp_path / "a" / "out" / "build").exists()
    with pytest.raises(BuildError, match="part 'xc7z010', but the board pynq-z2 has 'xc7z020clg400-1'"):
        build(bundle_of(tmp_path / "b", part="xc7z010"), Fake())
    broken = bundle_of(tmp_path / "c")
    (broken / "manifest.json").write_text("{}")
    with pytest.raises(BuildError, match=r"manifest\.json: a field is missing or broken"):
        build(broken, Fake())


def test_a_step_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    route = Fake()
    route.steps = lambda job: [Step("empty", "nothing", lambda _: None, ("x.bit",))]  # type: ignore[method-assign]
    with pytest.raises(BuildError, match=r"step empty: it ended without error but left no x\.bit"):
        build(bundle_of(tmp_path), route)


# Tools --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Command: synth_design -top top\nINFO: [Synth 8-7075] Helper process launched\n"
            "CRITICAL WARNING: [Netlist 29-160] Cannot set property\n"
            "ERROR: [Synth 8-439] module 'bw_am' not found [bw_engine.sv:12]\n"
            "ERROR: [Synth 8-6156] failed synthesizing module 'bw_engine'\n"
            "ERROR: [Common 17-69] Command failed: Synthesis failed - please see the console or run log file\n",
            "ERROR: [Synth 8-439] module 'bw_am' not found [bw_engine.sv:12]",
        ),
        (
            "ERROR: [Common 17-39] 'launch_runs' failed due to earlier errors.\n",
            "ERROR: [Common 17-39] 'launch_runs' failed due to earlier errors.",
        ),
        ("Info: packing\nERROR: Unable to place cell 'a'\n", "ERROR: Unable to place cell 'a'"),
        ("a.v:1: ERROR: syntax error, unexpected TOK_ID\n", "a.v:1: ERROR: syntax error, unexpected TOK_ID"),
        ("x.cpp:3:1: error: 'a' was not declared\n", "x.cpp:3:1: error: 'a' was not declared"),
        ("Traceback (most recent call last):\n  File\nKeyError: 'PS7'\n", "KeyError: 'PS7'"),
        ("Synthesis finished with 0 errors, 0 critical warnings\nno error here\n", None),
    ],
)  # fmt: skip
def test_the_first_real_error(text: str, line: str | None) -> None:
    assert first_error(text) == line


def script(path: Path, body: str) -> Path:
    path.write_text(f"#!{sys.executable}\nimport sys, os, time, pathlib\n{body}\n")
    path.chmod(0o755)
    return path


def test_a_failing_tool(tmp_path: Path) -> None:
    tool = script(tmp_path / "tool", "print('working'); print('ERROR: no luck'); sys.exit(3)")
    with pytest.raises(BuildError, match=r"tool ended with code 3: ERROR: no luck \(log: .*step\.log\)"):
        run_logged([tool, "-x"], tmp_path / "logs" / "step.log", cwd=tmp_path)
    assert (tmp_path / "logs" / "step.log").read_text() == f"$ {tool} -x\nworking\nERROR: no luck\n"
    quiet = script(tmp_path / "quiet", "print('last words'); sys.exit(1)")
    with pytest.raises(BuildError, match=r"quiet ended with code 1: last words"):
        run_logged([quiet], tmp_path / "logs" / "step.log", cwd=tmp_path)


def test_the_cause_in_the_tools_own_log_comes_first(tmp_path: Path) -> None:
    (tmp_path / "runs" / "synth_1").mkdir(parents=True)
    (tmp_path / "runs" / "old").mkdir()
    (tmp_path / "runs" / "old" / "runme.log").write_text("ERROR: of another day\n")
    tool = script(
        tmp_path / "tool",
        "pathlib.Path('runs/synth_1/runme.log').write_text('ERROR: [Synth 8-439] no module\\n')\n"
        "print('ERROR: [Common 17-39] failed due to earlier errors'); sys.exit(1)",
    )
    with pytest.raises(BuildError, match=r"tool ended with code 1: ERROR: \[Synth 8-439\] no module"):
        run_logged([tool], tmp_path / "log", cwd=tmp_path, more_logs=["runs/*/runme.log"])


def test_a_tool_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\nsleep 60 &\necho $! > child\nwait\n")
    tool.chmod(0o755)
    with pytest.raises(BuildError, match="did not finish within 3 s"):
        run_logged([tool], tmp_path / "log", cwd=tmp_path, timeout=3)
    assert _gone(int((tmp_path / "child").read_text()))


def _gone(pid: int) -> bool:
    for _ in range(50):
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]:
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False


def test_a_missing_tool() -> None:
    assert Path(find_tool(["no-such-tool", Path(sys.executable).name], "this")).name == Path(sys.executable).name
    with pytest.raises(ToolMissingError, match="routing needs no-such-tool or nor-this on the PATH"):
        find_tool(["no-such-tool", "nor-this"], "routing")


def test_an_interrupt_stops_the_tool_and_keeps_the_steps_before(tmp_path: Path) -> None:
    out = bundle_of(tmp_path)
    tool = script(tmp_path / "slow-tool", "pathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(60)")
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\nfrom pathlib import Path\nfrom bitwright.compile.build import Step, build\n"
        "class R:\n    name = 'slow'\n    def check(self, job): pass\n    def steps(self, job):\n"
        "        return [Step('a', 'a', lambda j: (j.folder / 'a').write_text('a'), ('a',)),\n"
        f"                Step('b', 'b', lambda j: j.run({str(tool)!r}))]\n"
        f"build(Path({str(out)!r}), R())\n"
    )
    process = subprocess.Popen([sys.executable, program], stderr=subprocess.PIPE)
    pid = out / "build" / "slow" / "pid"
    for _ in range(900):
        if pid.exists() and pid.read_text():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert b"KeyboardInterrupt" in stderr and _gone(int(pid.read_text()))
    state = json.loads((out / "build" / "slow" / "state.json").read_text())
    assert [s["name"] for s in state["steps"]] == ["a"]
