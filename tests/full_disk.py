"""`python -m tests.full_disk FOLDER STAGE`: what a run does with a full disk at a stage, and after room was made.

FOLDER is a small file system of its own, empty. All stages before STAGE are made, the rest of the disk is filled,
./doit is run, room is made, ./doit is run again. Prints the two ends as JSON.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from oolong.host.files import remove_tree
from tests.checkout import CELL, Checkout, cache_with_tools, copied_to, fake_kernel, for_fakelinux

# the stages of a cell in the order of the work, and what must be there before each
BEFORE = {
    "source": (),
    "configure": ("source:fakelinux",),
    "compile": (f"configure:{CELL}",),
    "offsets": (f"compile:{CELL}",),
    "stubs": (f"compile:{CELL}",),
    "audit-object": (f"stubs:{CELL}",),
    "link": (f"stubs:{CELL}",),
    "crosslink": (f"link:{CELL}",),
    "audit-image": (f"audit-object:{CELL}", f"link:{CELL}", f"offsets:{CELL}"),
    "modules": (f"compile:{CELL}",),
    "initramfs": (f"modules:{CELL}",),
    "tree": (f"link:{CELL}",),
    "boot": (f"link:{CELL}", f"offsets:{CELL}", f"initramfs:{CELL}"),
    "live": (f"boot:{CELL}",),
    "report": (f"live:{CELL}", f"crosslink:{CELL}", f"audit-image:{CELL}", f"tree:{CELL}"),
}
# enough for doit to write down what it did, not for a stage's output
LEFT = 8 * 1024
BLOCK = 4096


def fill(folder: Path) -> Path:
    """Take all of the disk but a little."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as sink:
        try:
            while True:
                sink.write(bytes(BLOCK))
        except OSError:
            pass
        sink.truncate(max(0, os.fstat(sink.fileno()).st_size - LEFT))
    return filler


def main(folder: Path, stage: str) -> None:
    kernel = fake_kernel(folder / "fakelinux")
    checkout: Checkout = for_fakelinux(copied_to(folder / "checkout", cache=cache_with_tools(folder / "cache")))
    words = (f"{stage}:{CELL}" if stage != "source" else "source:fakelinux", f"kernel={kernel}")
    if BEFORE[stage]:
        before = checkout.doit(*BEFORE[stage], f"kernel={kernel}")
        assert before.code == 0, before.err
    filler = fill(folder)
    full = checkout.doit(*words)
    filler.unlink()
    again = checkout.doit(f"cell:{CELL}", f"kernel={kernel}")
    left = [path.name for path in checkout.layout.scratch.glob("*")]
    print(json.dumps({"full": asdict(full), "again": asdict(again), "left": left}))
    remove_tree(folder / "checkout")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
