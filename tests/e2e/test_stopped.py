"""A real kernel killed in mid-link, and a real kernel from a bundle on a machine without a network."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from oolong.host.files import remove_tree
from tests.checkout import STAGES, cache_with_tools
from tests.e2e.conftest import LE, Smoke
from tests.processes import PATIENCE_SECONDS, descendants, wait_for

pytestmark = pytest.mark.e2e
LINKER = "powerpc64le-linux-gnu-ld"


def test_a_kernel_killed_in_mid_link_is_linked_by_the_next_run(smoke: Smoke) -> None:
    before = smoke.checkout.result(LE)
    linked = next(stage["digest"] for stage in before["stages"] if stage["stage"] == "link")
    remove_tree(smoke.checkout.stages / "link" / linked)
    # nor may an equal kernel be linked to, which another version of oolong left in this cache
    remove_tree(smoke.checkout.layout.versioned / "twins" / "link")
    doit = subprocess.Popen(
        smoke.checkout.argv(f"link:{LE}"),
        cwd=smoke.checkout.folder,
        env=smoke.checkout.env(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # the kernel cuts the names of programs
    wait_for(lambda: any(LINKER.startswith(name) and len(name) == 15 for name in descendants(doit.pid).values()))
    children = descendants(doit.pid)
    os.kill(doit.pid, signal.SIGKILL)
    doit.wait(PATIENCE_SECONDS)
    wait_for(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
    assert not (smoke.checkout.stages / "link" / linked).exists()
    done = smoke.checkout.doit()
    assert done.code == 0, done.err
    assert f"link:{LE}: ok" in done.err
    assert smoke.checkout.result(LE)["files"]["vmlinux"] == before["files"]["vmlinux"]


def test_a_bundle_is_all_that_a_machine_without_a_network_needs(smoke: Smoke, tmp_path: Path) -> None:
    """The checkout itself comes out of it; .venv, root file systems, source and kernel are made from it. Only ccache is
    the usual one, for speed."""
    archive = tmp_path / "smoke.tar"
    made = smoke.checkout.doit("bundle", str(archive))
    assert made.code == 0, made.err
    subprocess.run(["tar", "--extract", f"--file={archive}", f"--directory={tmp_path}", "oolong"], check=True)
    cache = cache_with_tools(tmp_path / "cache")
    for shared in ("downloads", f"{STAGES}/rootfs"):
        (cache / shared).unlink()
    (cache / "ccache").symlink_to(smoke.checkout.cache / "ccache")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "OOLONG_CACHE": str(cache)}
    sealed = ["bwrap", "--dev-bind", "/", "/", "--unshare-net", "--chdir", str(tmp_path / "oolong"), "--"]
    argv = [*sealed, "./doit", f"cell:{LE}", f"bundle={archive}"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    theirs = tmp_path / "oolong" / "build" / "results" / LE / "vmlinux"
    ours = smoke.checkout.folder / "build" / "results" / LE / "vmlinux"
    assert theirs.read_bytes() == ours.read_bytes()
    remove_tree(cache)
    shutil.rmtree(tmp_path / "oolong")
