"""What a run is given: edits, trees and patches of a person, configs, bad input. All with fakelinux."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.checkout import (
    CELL,
    CONSOLE,
    SCRIPT,
    Checkout,
    fake_kernel,
    run_fake,
    stage_of,
)


def test_an_edit_makes_only_what_it_reaches(checkout: Checkout) -> None:
    assert run_fake(checkout).code == 0
    kernel = checkout.folder.parent / "fakelinux"
    (kernel / "text.c").write_text((kernel / "text.c").read_text().replace("x + 1", "x + 11"))
    done = checkout.doit(f"cell:{CELL}", f"kernel={kernel}")
    made = set(re.findall(r"([\w-]+):\S+: ok, ", done.err))
    assert done.code == 0
    assert made == {
        "source",
        "compile",
        "offsets",
        "modules",
        "stubs",
        "link",
        "crosslink",
        "audit-image",
        "audit-object",
        "initramfs",
        "tree",
        "boot",
        "live",
    }


def test_how_stubs_are_built_is_tried_again_where_an_edit_can_change_it(
    checkout: Checkout, empty_cache: Callable[[], Path]
) -> None:
    """An edit of a function cannot; one of the script can, or of a makefile."""
    # a cell that another test made again has another twin
    checkout = replace(checkout, cache=empty_cache())
    tried = [checks_of_tree(checkout)]
    kernel = checkout.folder.parent / "fakelinux"
    for file, before, after in (("text.c", "x + 1", "x + 12"), (SCRIPT, "set -e", "set -e #")):
        (kernel / file).write_text((kernel / file).read_text().replace(before, after))
        tried.append(checks_of_tree(checkout))
    assert tried[0] != tried[1]
    assert tried[0].samefile(tried[1])
    assert not tried[1].samefile(tried[2])


def checks_of_tree(checkout: Checkout) -> Path:
    """The file of the checks that the stage tree made for the kernel as it stands."""
    kernel = checkout.folder.parent / "fakelinux"
    task = f"tree:{CELL}"
    done = run_fake(checkout, words=(task,)) if not kernel.exists() else checkout.doit(task, f"kernel={kernel}")
    assert done.code == 0, done.err
    stamp = json.loads((checkout.folder / "build" / "stamps" / "tree" / f"{CELL}.json").read_bytes())
    return checkout.layout.stage("tree", str(stamp["digest"])) / "checks.json"


def test_equal_content_is_linked_not_built(checkout: Checkout, empty_cache: Callable[[], Path]) -> None:
    """The .S decides whether the kernel is linked anew, not the code that wrote it."""
    checkout = replace(checkout, cache=empty_cache())
    assert run_fake(checkout).code == 0
    stubs = checkout.folder / "oolong" / "stubs" / "counting.py"
    stubs.write_text(stubs.read_text() + "CHANGES_NOTHING = 1\n")
    done = checkout.doit(f"crosslink:{CELL}", f"kernel={checkout.folder.parent / 'fakelinux'}")
    assert done.code == 0
    assert re.search(r"stubs:\S+: ok", done.err)
    logs = list((checkout.stages / "crosslink").glob("*/log"))
    assert len(logs) == 2
    assert logs[0].samefile(logs[1]), "the kernel was linked again"


def test_an_expectation_that_does_not_come_true_is_a_verdict(checkout: Checkout) -> None:
    """gcc 12 is expected to leave out-of-line ftrace off; in fakelinux it is on whatever the compiler can do."""
    done = run_fake(checkout, words=("cell:le-minimal-gcc-12-fakelinux",))
    assert done.code == 1
    verdict = checkout.result("le-minimal-gcc-12-fakelinux")["verdict"]
    assert (verdict["status"], verdict["kind"]) == ("fail", "unexpected")
    assert "out-of-line ftrace is on, which is not what the cell expects" in done.out


def test_an_expectation_that_comes_true_passes(checkout: Checkout) -> None:
    edits = [
        ("settled.config", "CONFIG_PPC_FTRACE_OUT_OF_LINE=y", "# CONFIG_PPC_FTRACE_OUT_OF_LINE is not set"),
        (CONSOLE, "allocating @TOTAL@", "allocating 8"),
    ]
    done = run_fake(checkout, *edits, words=("stubs:le-minimal-gcc-12-fakelinux", "stubs:le-minimal-gcc-14-fakelinux"))
    assert "configure:le-minimal-gcc-12-fakelinux: ok" in done.err
    assert "configure:le-minimal-gcc-14-fakelinux: fail" in done.err, "where it is required, off is a drift"


def test_the_tree_of_a_person_stays_untouched(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    before = {path: path.stat().st_mtime_ns for path in kernel.rglob("*")}
    assert checkout.doit(f"cell:{CELL}", f"kernel={kernel}").code == 0
    assert {path: path.stat().st_mtime_ns for path in kernel.rglob("*")} == before


HOSTILE = {
    "config": ("Makefile", "\n\nfake_def", "\n\t@rm $(O)/.config; ln -s {} $(O)/.config\n\nfake_def"),
    "vmlinux": ("Makefile", "> $(O)/System.map", "> $(O)/System.map; ln -sf {} $(O)/vmlinux"),
    "script": (SCRIPT, "set -e", "set -e; ln -s {} $5; exit 0"),
}  # fmt: skip


@pytest.mark.parametrize("where", HOSTILE)
def test_a_link_out_of_the_sandbox_is_not_followed(checkout: Checkout, tmp_path: Path, where: str) -> None:
    """A tree whose build leaves a link to a file of the host where a result should be."""
    secret = tmp_path / "secret"
    secret.write_text("CONFIG_SECRET=y\n")
    file, before, after = HOSTILE[where]
    done = run_fake(checkout, (file, before, after.format(secret)))
    assert done.code == 1, done.err
    assert "no plain file" in done.out or "wrote nothing" in done.out
    assert checkout.result(CELL)["verdict"]["status"] == "fail"
    assert secret.read_text() == "CONFIG_SECRET=y\n"


HOLES = {
    "config": ("Makefile", "@$(LD) -r -o $@ $^", "@$(LD) -r -o $@ $^; truncate -s 100G $(O)/.config"),
    "release": ("Makefile", "@cp release ", "@truncate -s 1G "),
    "script": (SCRIPT, "set -e", "set -e; truncate -s 100G $5; exit 0"),
}  # fmt: skip


@pytest.mark.parametrize("where", HOLES)
def test_a_file_of_holes_is_a_verdict_and_not_read(checkout: Checkout, where: str) -> None:
    """A tree whose build leaves a file that claims a hundred gigabytes, where a text should be."""
    done = run_fake(checkout, HOLES[where])
    assert done.code == 1, done.err
    verdict = checkout.result(CELL)["verdict"]
    assert (verdict["status"], verdict["kind"]) == ("fail", "stub-audit" if where == "script" else "build")
    assert re.search(r"has more than \d+ bytes", done.out)


def test_a_tree_reaches_neither_network_nor_home_nor_etc(checkout: Checkout) -> None:
    spy = "@echo probing; ls /etc /home /root; id -u; cat /proc/net/dev; touch /src/x /usr/x; true"
    run_fake(checkout, ("Makefile", "\t@echo '  GEN     .config'", f"\t{spy}"))
    log = (checkout.folder / "build" / "results" / CELL / "logs" / "configure.log").read_text()
    assert log.count("No such file or directory") == 3
    assert "\n1000\n" in log
    assert "eth" not in log
    assert log.count("Read-only file system") == 2


def test_patches_are_applied_to_a_copy(checkout: Checkout, tmp_path: Path) -> None:
    kernel = fake_kernel(tmp_path / "fakelinux")
    patch = tmp_path / "seven.patch"
    patch.write_text(
        "--- a/text.c\n+++ b/text.c\n@@ -6,2 +6,3 @@\n int five(int x) { return x + 5; }\n"
        " int six(int x) { return x + 6; }\n+int seven(int x) { return x + 7; }\n"
    )
    done = checkout.doit("cell:le-minimal-gcc-14-*", f"kernel={kernel}", f"patches={patch}")
    assert done.code == 0, done.err
    result = checkout.result("le-minimal-gcc-14-fakelinux-patched")
    assert json.loads(stage_of(result, "stubs"))["text"] == 7
    assert "seven" not in (kernel / "text.c").read_text()


def test_a_config_without_stubs_is_built_and_booted(checkout: Checkout, tmp_path: Path) -> None:
    kernel = fake_kernel(
        tmp_path / "fakelinux",
        [
            ("settled.config", "CONFIG_PPC_FTRACE_OUT_OF_LINE=y", "# CONFIG_PPC_FTRACE_OUT_OF_LINE is not set"),
            (CONSOLE, "allocating @TOTAL@", "allocating 8"),
        ],
    )
    config = tmp_path / "mine.config"
    config.write_text("CONFIG_SMP=y\n")
    done = checkout.doit("stubs:le-*-gcc-14*", f"kernel={kernel}", f"config={config}")
    assert done.code == 0, done.err


def test_modules_are_built_and_packed(checkout: Checkout) -> None:
    """Those of the configuration, and the guest's own."""
    done = run_fake(checkout)
    assert done.code == 0, done.err
    stages = {stage["stage"]: stage for stage in checkout.result(CELL)["stages"]}
    assert stages["modules"]["artifacts"].keys() == {"fake.ko", "oolong_data.ko", "oolong_guest.ko", "order.json"}
    assert stages["initramfs"]["recipe"]["inputs"]["modules"] == f"{stages['modules']['digest']}/modules"
    log = (checkout.folder / "build" / "results" / CELL / "logs" / "initramfs.log").read_text()
    assert "gen_init_cpio" in log


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("boot:xe-*",), "no task matches"),
        (("bot",), "boot"),
        (("kernal=x",), "did you mean 'kernel'"),
        (("set=smok",), "smoke"),
        (("cell=be-nothing",), "matches no cell"),
        (("jobs=many",), "jobs=many"),
        (("--no-such-option",), "no-such-option"),
        (("kernel=/proc",), "no kernel tree"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "2"])
def test_bad_input_is_told_and_ends_with_2(
    checkout: Checkout, words: tuple[str, ...], shown: str, workers: str
) -> None:
    done = checkout.doit("-n", workers, *words)
    assert done.code == 2, done.err
    assert shown in done.err
    assert "Traceback" not in done.err


def test_documents_go_to_stdout_alone(checkout: Checkout) -> None:
    done = checkout.doit("cells", "format=json")
    assert done.code == 0
    cells = {cell["cell"]: cell for cell in json.loads(done.out)}
    assert {"le-minimal-gcc-14", "be-minimal-gcc-14", "le-minimal-clang-22"} <= cells.keys()
    assert cells["be-minimal-gcc-12"]["expect"] == {"ool": "off"}
    assert cells["be-minimal-gcc-14"]["expect"] == {}


@pytest.mark.parametrize("words", [("list", "--all", "--status"), ("cells",), ("doctor",)], ids=" ".join)
def test_a_reader_that_has_seen_enough_is_no_error(checkout: Checkout, words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = checkout.argv(*words)
    done = subprocess.run(
        argv, cwd=checkout.folder, env=checkout.env(), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
