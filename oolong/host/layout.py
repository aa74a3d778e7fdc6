"""Every path that oolong reads or writes is made here and nowhere else.

Two roots: the checkout (inputs, and results under build/) and the cache outside it (downloads, root file
systems, sources, ccache, finished stages), which many checkouts may share.
"""

import os
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

# of what the cache holds under its version: stages, and what names them; a number that only goes up
FORMAT = 2


def default_cache() -> Path:
    """OOLONG_CACHE, else XDG_CACHE_HOME/oolong, else ~/.cache/oolong."""
    if chosen := os.environ.get("OOLONG_CACHE"):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base).absolute() / "oolong"


def settings_file() -> Path:
    """What a person sets once for all checkouts: XDG_CONFIG_HOME/oolong/settings.yaml, else in ~/.config."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(base).absolute() / "oolong" / "settings.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All paths of one run; `checkout` and `cache` are absolute.

    `temporary_locks` is the folder of the locks that stand in for the checkout's own in this run, if any do;
    `bundle` is the archive that everything from outside is taken from, if there is one.
    """

    checkout: Path
    cache: Path
    temporary_locks: Path | None = None
    bundle: Path | None = None

    # the checkout
    @property
    def pipeline(self) -> Path:
        return self.checkout / "pipeline.yaml"

    @property
    def known_issues(self) -> Path:
        return self.checkout / "known-issues.yaml"

    @property
    def pipeline_lock(self) -> Path:
        return (self.temporary_locks or self.checkout) / "pipeline.lock"

    @property
    def configs(self) -> Path:
        return self.checkout / "configs"

    @property
    def guest(self) -> Path:
        return self.checkout / "guest"

    @property
    def templates(self) -> Path:
        return self.checkout / "templates"

    @property
    def stub_template(self) -> Path:
        return self.templates / "vmlinux.arch.S.j2"

    @property
    def museum(self) -> Path:
        """Past faults, a folder each."""
        return self.checkout / "tests" / "museum"

    @property
    def small_kernel(self) -> Path:
        """As much of a kernel's tree as oolong uses, which builds in a second."""
        return self.checkout / "tests" / "fakelinux"

    @property
    def build(self) -> Path:
        return self.checkout / "build"

    @property
    def unlocked(self) -> Path:
        """Temporary locks, made when a mirror no longer has what the checkout's locks name."""
        return self.build / "unlocked"

    @property
    def results(self) -> Path:
        return self.build / "results"

    def toolchain(self, name: str) -> Path:
        return self.checkout / "toolchains" / f"{name}.yaml"

    def toolchain_lock(self, name: str) -> Path:
        return (self.temporary_locks or self.checkout / "toolchains") / f"{name}.lock"

    def cell_results(self, cell: str) -> Path:
        return self.results / cell

    def stamp(self, stage: str, name: str) -> Path:
        return self.build / "stamps" / stage / f"{name}.json"

    @property
    def recorded(self) -> Path:
        """Where the digests of artifacts are: the checkout's own lock, whatever stands in for it."""
        return self.checkout / "pipeline.lock"

    @property
    def victims(self) -> Path:
        """The names whose digest `recorded` has: for whom the checks of a cell did not hold."""
        return self.checkout / "pipeline.victims"

    # the cache
    def download(self, sha256: str) -> Path:
        return self.cache / "downloads" / sha256[:2] / sha256

    @property
    def versioned(self) -> Path:
        """What only a version of oolong with the same FORMAT understands."""
        return self.cache / f"v{FORMAT}"

    @property
    def stages(self) -> Path:
        return self.versioned / "stages"

    def stage(self, stage: str, digest: str) -> Path:
        return self.stages / stage / digest

    def twin(self, stage: str, content_digest: str) -> Path:
        """A file that holds the digest of the stage that was made from inputs of this content."""
        return self.versioned / "twins" / stage / content_digest

    @property
    def unpublished(self) -> Path:
        """Results of this checkout's runs that no other run may use, on the file system of the stages."""
        return self.versioned / "unpublished" / sha256(os.fsencode(self.checkout)).hexdigest()[:16]

    def hint(self, name: str) -> Path:
        """What was learnt from the last run and only makes the next one nicer to watch."""
        return self.cache / "hints" / f"{name}.json"

    def repository(self, url_digest: str) -> Path:
        """A bare git repository of ours that holds what was fetched from one URL or path."""
        return self.cache / "git" / f"{url_digest}.git"

    @property
    def ccache(self) -> Path:
        """Written by the builds of sources that somebody vouches for, read by all."""
        return self.cache / "ccache"

    @property
    def untrusted_ccache(self) -> Path:
        """Written and read by all other builds."""
        return self.cache / "ccache-untrusted"

    @property
    def blobs(self) -> Path:
        return self.cache / "blobs"

    @property
    def stat_cache(self) -> Path:
        return self.cache / "stat-cache.sqlite3"

    @property
    def scratch(self) -> Path:
        """Where stages work before they publish by rename: the same file system as the stages themselves."""
        return self.versioned / "scratch"

    def lock(self, name: str) -> Path:
        return self.cache / "locks" / f"{name}.lock"
