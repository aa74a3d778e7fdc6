"""Digests of artifacts, recorded once and compared on every machine."""

import json

from tests.checkout import Checkout, fake_kernel, with_kernel

CELL = "le-minimal-gcc-14"


def with_fakelinux(checkout: Checkout) -> Checkout:
    """fakelinux as the pipeline's own kernel."""
    fake_kernel(checkout.folder / "linux")
    path = checkout.folder / "pipeline.yaml"
    text = with_kernel(path.read_text(), "fake")
    path.write_text(text.replace("sources:\n", "sources:\n  fake:\n    dir: linux\n"))
    return checkout


def digest_check(checkout: Checkout) -> tuple[str, str]:
    checks = {check["name"]: check for check in checkout.result(CELL)["verdict"]["checks"]}
    return checks["artifacts.digest"]["status"], checks["artifacts.digest"]["evidence"]


def test_what_was_recorded_is_compared_with_what_is_built(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    done = checkout.doit(f"cell:{CELL}")
    assert done.code == 0, done.err
    assert digest_check(checkout) == ("pass", "as recorded in pipeline.lock")
    path = checkout.folder / "pipeline.lock"
    lock = json.loads(path.read_text())
    lock["artifacts"][CELL]["sha256"]["vmlinux"] = "0" * 64
    path.write_text(json.dumps(lock))
    other = checkout.doit(f"cell:{CELL}")
    assert other.code == 1
    assert checkout.result(CELL)["verdict"]["kind"] == "digest"
    assert "not as recorded in pipeline.lock: vmlinux is" in other.out


def test_other_bytes_from_equal_inputs_are_refused(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    path = checkout.folder / "pipeline.lock"
    lock = json.loads(path.read_text())
    lock["artifacts"][CELL]["sha256"]["vmlinux"] = "0" * 64
    path.write_text(json.dumps(lock))
    done = checkout.doit("record", f"cell={CELL}")
    assert done.code == 2
    assert f"{CELL}: the inputs are those recorded, the bytes are not: vmlinux: recorded 000" in done.err
    assert "remove its entry from pipeline.lock" in done.err
    assert json.loads(path.read_text()) == lock


def test_other_bytes_from_other_inputs_are_recorded(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    text = checkout.folder / "linux" / "text.c"
    text.write_text(text.read_text().replace("x + 1", "x + 12"))
    assert checkout.doit("record", f"cell={CELL}").code == 0
    assert checkout.doit(f"cell:{CELL}").code == 0
    assert digest_check(checkout) == ("pass", "as recorded in pipeline.lock")


def test_an_edit_of_oolong_leaves_a_record_in_force(checkout: Checkout) -> None:
    """Known by its content, a record outlives the code that made what it was made from."""
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    for module in ("stages/compile.py", "supply/tree.py", "kbuild/log.py"):
        path = checkout.folder / "oolong" / module
        path.write_text(path.read_text() + "\nEDITED = 1\n")
    done = checkout.doit(f"cell:{CELL}")
    assert done.code == 0, done.err
    assert f"compile:{CELL}: ok" in done.err
    assert digest_check(checkout) == ("pass", "as recorded in pipeline.lock")


def test_other_inputs_are_not_compared(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    text = checkout.folder / "linux" / "text.c"
    text.write_text(text.read_text().replace("x + 1", "x + 11"))
    done = checkout.doit(f"cell:{CELL}")
    assert done.code == 0, done.err
    assert digest_check(checkout) == ("skip", "not compared: it was recorded for other inputs")


def test_locks_and_records_keep_each_other(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    path = checkout.folder / "pipeline.lock"
    before = json.loads(path.read_text())
    assert checkout.doit("record", f"cell={CELL}").code == 0
    after = json.loads(path.read_text())
    assert after["sources"] == before["sources"]
    assert after["artifacts"][CELL]["sha256"].keys() == {"vmlinux.o", "vmlinux"}


def test_a_kernel_of_ones_own_is_not_recorded(checkout: Checkout) -> None:
    kernel = fake_kernel(checkout.folder.parent / "fakelinux")
    before = (checkout.folder / "pipeline.lock").read_text()
    done = checkout.doit("record", f"kernel={kernel}")
    assert (done.code, "only the pipeline's own cells" in done.err) == (2, True)
    assert (checkout.folder / "pipeline.lock").read_text() == before


def test_a_malformed_record_is_bad_input(checkout: Checkout) -> None:
    path = checkout.folder / "pipeline.lock"
    path.write_text(json.dumps({**json.loads(path.read_text()), "artifacts": {CELL: 5}}))
    done = checkout.doit("list", "--all")
    assert (done.code, "its `artifacts` are malformed" in done.err) == (2, True)


def victims_check(checkout: Checkout) -> tuple[str, str]:
    checks = {check["name"]: check for check in checkout.result(CELL)["verdict"]["checks"]}
    return checks["audit.victims"]["status"], checks["audit.victims"]["evidence"]


def test_victims_are_recorded_and_other_ones_fail_in_both_directions(checkout: Checkout) -> None:
    """A kernel in which some functions share their windows; the checks that find them change, its inputs do not."""
    with_fakelinux(checkout)
    makefile = checkout.folder / "linux" / "Makefile"
    makefile.write_text(makefile.read_text().replace("-falign-functions=32", "-falign-functions=16 -mtraceback=no"))
    assert checkout.doit("record", f"cell={CELL}").code == 0
    done = checkout.doit(f"cell:{CELL}")
    assert done.code == 0, done.out
    assert victims_check(checkout) == ("pass", "6 victims, as recorded in pipeline.lock")
    names = checkout.folder / "pipeline.victims"
    assert json.loads(names.read_text())[CELL] == {
        "image.kprobe-window": {"short-function": ["first", "five", "four", "one", "three", "two"]}
    }
    before = names.read_text()

    rules = checkout.folder / "oolong" / "audit" / "window_checks.py"
    text = rules.read_text()
    finds = "if not function.covers(site.ip):"
    assert finds in text
    rules.write_text(text.replace(finds, f'{finds[:-1]} and function.name != "two":'))
    other = checkout.doit(f"cell:{CELL}")
    assert (other.code, checkout.result(CELL)["verdict"]["kind"]) == (1, "digest")
    assert victims_check(checkout) == ("fail", "1: two: gone from image.kprobe-window (short-function)")
    refused = checkout.doit("record", f"cell={CELL}")
    assert (refused.code, "two: gone from image.kprobe-window (short-function)" in refused.err) == (2, True)
    assert "./doit record victims=1" in refused.err
    assert names.read_text() == before

    again = checkout.doit("record", f"cell={CELL}", "victims=1")
    assert again.code == 0, again.err
    assert f"{CELL}: two: gone from image.kprobe-window (short-function)" in again.err
    assert checkout.doit(f"cell:{CELL}").code == 0
    rules.write_text(text)
    new = checkout.doit(f"cell:{CELL}")
    assert new.code == 1
    assert victims_check(checkout) == ("fail", "1: two: new in image.kprobe-window (short-function)")


def test_without_recorded_victims_there_is_no_comparison(checkout: Checkout) -> None:
    with_fakelinux(checkout)
    assert checkout.doit("record", f"cell={CELL}").code == 0
    path = checkout.folder / "pipeline.lock"
    lock = json.loads(path.read_text())
    del lock["victims"]
    path.write_text(json.dumps(lock))
    assert checkout.doit(f"cell:{CELL}").code == 0
    told = "not compared: no victims are recorded; ./doit record victims=1 records them"
    assert victims_check(checkout) == ("skip", told)
    assert checkout.doit("record", f"cell={CELL}", "victims=1").code == 0
    assert json.loads(path.read_text())["artifacts"] == lock["artifacts"]
    assert checkout.doit(f"cell:{CELL}").code == 0
    assert victims_check(checkout)[0] == "pass"
