"""Who writes to which ccache: a build that poisons one is never read by a build that is trusted."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from oolong.engine.stage import Outcome, Stage
from oolong.host.jobserver import Jobserver, serving
from oolong.host.layout import Layout
from oolong.host.sandbox import BUILD, SRC, View
from oolong.run.project import Request, open_project
from oolong.spec import overrides
from oolong.spec.model import GitSource, KernelConfig, KernelSource, Signature, Spec, Tarball, TarballSource
from oolong.stages import rootfs, source
from oolong.stages.building import build_sandbox
from oolong.stages.chain import Pipeline
from oolong.stages.outputs import ROOT
from oolong.stages.sandboxed import run
from tests.checkout import fake_kernel, root_with
from tests.support import CHECKOUT, folder_as, stage_of, work_of

VIEW = View(read_only=(SRC,), writable=(BUILD,), chdir=BUILD)
TRUSTED = stage_of("compile", lambda work: Outcome())
UNTRUSTED = replace(TRUSTED, vouched=False)
COMPILE = "ccache gcc -c /src/unit.c -o unit.o"
# a compiler of the attacker's own, under the same name, puts another object under the key of the right one
POISON = f"""
printf '#!/bin/sh\\nexec /usr/bin/gcc -DEVIL "$@"\\n' > gcc; chmod +x gcc
for folder in /ccache /trusted-ccache; do
    (unset CCACHE_READONLY CCACHE_PREFIX; CCACHE_DIR=$folder {COMPILE.replace("gcc", f"{BUILD}/gcc")})
done
{COMPILE}
echo evil > /ccache/evil; echo evil > /trusted-ccache/evil; chmod -R a-rwx /trusted-ccache
true
"""


@pytest.fixture
def builds(tmp_path: Path, tool_cache: Path) -> "Builds":
    return Builds(tmp_path)


class Builds:
    """Builds of one file, one after the other, with the ccaches of one cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = root_with("bin/ccache", "bin/gcc").parent
        self.layout = work_of(TRUSTED, folder).layout
        (folder / "source").mkdir()
        (folder / "source" / "unit.c").write_text("#ifdef EVIL\nint wrong;\n#else\nint right;\n#endif\n")

    def build(self, stage: Stage, script: str, *, name: str, jobserver: Jobserver | None = None) -> Path:
        """The object tree of a build, in which nothing was before."""
        build = self._folder / name
        build.mkdir()
        work = replace(work_of(stage, self._folder, rootfs=folder_as(ROOT, self._root)), jobserver=jobserver)
        sandbox = build_sandbox(work, VIEW, {SRC: self._folder / "source", BUILD: build})
        done = run(work, sandbox, ["sh", "-c", script])
        assert done.ok, done.lines
        return build


def test_what_an_untrusted_build_writes_is_no_trusted_builds(builds: Builds) -> None:
    poisoned = builds.build(UNTRUSTED, POISON, name="poisoning")
    assert b"wrong" in (poisoned / "unit.o").read_bytes()
    seen = builds.build(TRUSTED, f"{COMPILE}; ls -R /ccache > seen", name="trusted")
    assert b"right" in (seen / "unit.o").read_bytes()
    assert "evil" not in (seen / "seen").read_text()
    assert (builds.layout.untrusted_ccache / "evil").exists()


def test_an_untrusted_build_takes_what_a_trusted_one_left(builds: Builds) -> None:
    first = builds.build(TRUSTED, COMPILE, name="trusted")
    script = f"CCACHE_LOGFILE=/build/log {COMPILE}; ! grep Executing log"
    again = builds.build(UNTRUSTED, script, name="untrusted")
    assert (again / "unit.o").read_bytes() == (first / "unit.o").read_bytes()


def test_an_untrusted_build_takes_what_another_untrusted_one_left(builds: Builds) -> None:
    first = builds.build(UNTRUSTED, COMPILE, name="first")
    # the preprocessor runs, to look into the first ccache; the compiler does not
    script = f"CCACHE_LOGFILE=/build/log {COMPILE}; ! grep 'Executing /usr/bin/gcc .*-c' log"
    again = builds.build(UNTRUSTED, script, name="again")
    assert (again / "unit.o").read_bytes() == (first / "unit.o").read_bytes()


def test_a_build_can_lock_no_other_one_out(builds: Builds) -> None:
    """It writes to the jobserver and to its ccache, and takes neither from the builds beside it and after it."""
    with serving(3) as jobserver:
        spoilt = "chmod 000 /jobserver; chmod 000 /ccache; echo + > /jobserver; echo written"
        builds.build(UNTRUSTED, spoilt, name="spoiling", jobserver=jobserver)
        assert stat.S_IMODE(jobserver.fifo.stat().st_mode) == 0o600
        script = f"read -n 1 -r token < /jobserver; echo $token > token; {COMPILE}; touch /ccache/mine"
        after = builds.build(UNTRUSTED, f"exec bash -c '{script}'", name="after", jobserver=jobserver)
    assert (after / "token").read_text() == "+\n"


BUILT = {"configure", "compile", "link", "modules", "initramfs", "offsets"}


def trusted_builds(request: Request, cache: Path) -> set[str]:
    """Which of the builds of the first cell are trusted."""
    project = open_project(request, Layout(checkout=CHECKOUT, cache=cache))
    chain = project.chain(project.cells[0])
    assert {stage.name for stage in chain} >= BUILT - {"modules"}
    return {stage.name for stage in chain if stage.trusted} & BUILT


def test_a_locked_debian_kernel_with_a_config_of_the_checkout_is_trusted(tmp_path: Path) -> None:
    assert trusted_builds(Request(set="smoke"), tmp_path) == BUILT


def test_a_tree_patches_and_a_config_from_elsewhere_are_not(tmp_path: Path) -> None:
    tree = fake_kernel(tmp_path / "fakelinux")
    # make expands the strings of a .config
    config = tmp_path / "hostile.config"
    config.write_text('CONFIG_DEFAULT_HOSTNAME="$(shell touch /ccache/evil)"\n')
    patch = tmp_path / "a.patch"
    patch.write_text("--- a/Makefile\n+++ b/Makefile\n")
    cache = tmp_path / "cache"
    assert trusted_builds(Request(set="smoke", kernel=str(tree)), cache) == set()
    assert trusted_builds(Request(set="smoke", patches=str(patch)), cache) == set()
    # the programs of the guest are built without a .config
    assert trusted_builds(Request(set="smoke", config=str(config)), cache) == {"initramfs"}


def test_a_config_from_elsewhere_with_the_same_text_has_other_stages(tmp_path: Path) -> None:
    """Its builds have the ccache that anybody writes to: what they left is not taken by those of the checkout."""
    layout = Layout(checkout=CHECKOUT, cache=tmp_path)
    project = open_project(Request(set="smoke"), layout)
    cell = project.selected[0]
    own = replace(cell.config, required=(), optional=(), modules=False)
    spec = replace(project.spec, configs=(own,))
    text = ",".join(map(str, (own.base, *own.fragments)))
    elsewhere = overrides.from_command_line(spec, config=text, folder=CHECKOUT)

    def digests(spec: Spec, config: KernelConfig | None) -> dict[str, str]:
        assert config
        asked = replace(cell, config=config)
        return {stage.name: stage.digest for stage in Pipeline(layout, spec, [asked]).of_cell(asked.name)}

    ours, theirs = digests(spec, own), digests(elsewhere, elsewhere.overrides.config)
    same = {name for name in theirs if ours[name] == theirs[name]}
    assert same == {"rootfs", "source", "initramfs"}


TARBALL = Tarball(url="https://example.org/linux.tar.xz", sha256="1" * 64)


def is_vouched_for(kernel: KernelSource, tmp_path: Path) -> bool:
    tools = stage_of("rootfs", lambda work: Outcome())
    layout = Layout(checkout=CHECKOUT, cache=tmp_path)
    return source.identified(kernel, layout=layout, rootfs=tools, verifier=lambda: tools).stage.trusted


def test_a_tarball_is_trusted_if_its_signature_is_checked_and_a_commit_is_not(tmp_path: Path) -> None:
    keyring = tmp_path / "keyring.gpg"
    keyring.write_bytes(b"keys")
    signature = Signature(file=TARBALL, keyring=keyring)
    assert is_vouched_for(TarballSource(name="signed", tarball=TARBALL, signature=signature), tmp_path)
    assert not is_vouched_for(TarballSource(name="unsigned", tarball=TARBALL, signature=None), tmp_path)
    assert not is_vouched_for(GitSource(name="commit", url="https://example.org/x.git", ref="1" * 40), tmp_path)


def test_tools_that_are_a_tarball_are_not_trusted() -> None:
    spec = open_project(Request(set="smoke"), Layout(checkout=CHECKOUT, cache=CHECKOUT / "no-cache")).spec
    packages = spec.toolchain("gcc-14")
    assert rootfs.stage([packages], []).trusted
    assert not rootfs.stage([replace(packages, tarball=TARBALL)], []).trusted
