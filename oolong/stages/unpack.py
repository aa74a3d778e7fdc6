"""Unpacks archives for the stages that bring things in: in the sandbox, so that no name leads out of a folder."""

from pathlib import Path

from oolong.engine.stage import Work
from oolong.errors import BadInput, Infrastructure
from oolong.host.budget import ARCHIVE, REMARK, Counted
from oolong.host.sandbox import Mount, Sandbox
from oolong.spec.model import Signature, Tarball
from oolong.stages.sandboxed import run

# who owned a file, setuid bits and the like stay in the archive
OPTIONS = ("--extract", "--no-same-owner", "--no-same-permissions", "--strip-components=1")
LISTING = ("--numeric-owner", "--verbose", "--verbose")
DECOMPRESSORS = {".xz": "xz", ".gz": "gzip"}
ARMOR = b"-----BEGIN PGP"


def unpack(work: Work, *, root: Path, archive: Path, target: Path, label: str) -> str:
    """Unpack what is below the one folder at an archive's top into `target`, which is made, with the tar of the root
    file system `root`; returns what was wrong with the archive, nothing if all went well. BadInput as soon as it holds
    more than any kernel or toolchain."""
    target.mkdir(parents=True)
    sandbox = Sandbox(
        rootfs=root,
        mounts=(Mount(host=archive, inside="/archive"), Mount(host=target, inside="/tree", writable=True)),
        env={"XZ_DEFAULTS": "--threads=0"},
    )
    counted = Counted(ARCHIVE, where=label)
    argv = ["tar", *OPTIONS, *LISTING, "--file=/archive", "--directory=/tree"]
    # the list of all files is no line of the log
    done = run(work, sandbox, argv, on_line=counted.listed, on_output=lambda chunk: None)
    if not done.ok:
        said = [line for line in done.lines if line.startswith(REMARK)]
        return " / ".join(said[-3:]) or f"tar ended with {done.returncode}"
    return "" if any(target.iterdir()) else "there is nothing below a folder at its top"


def unpack_tarball(work: Work, tarball: Tarball, *, root: Path, archive: Path, target: Path) -> None:
    """The same for an archive that a person named: BadInput if it does not unpack."""
    if wrong := unpack(work, root=root, archive=archive, target=target, label=tarball.url):
        raise BadInput(f"does not unpack: {wrong}", where=tarball.url, hint="a tarball with one folder at its top")


def verified(work: Work, tarball: Tarball, signature: Signature, *, root: Path, archive: Path, file: Path) -> Path:
    """The uncompressed archive, after its signature was checked; `root` has gpgv, `file` is the signature.

    BadInput if no key of the keyring made it.
    """
    name = tarball.url.rpartition("/")[2]
    if signature.keyring.read_bytes().startswith(ARMOR):
        raise BadInput("an armored keyring", where=str(signature.keyring), hint="gpg --dearmor makes it a plain one")
    plain = work.folder / "archive.tar"
    written = 0

    def keep(chunk: bytes) -> None:
        nonlocal written
        written += len(chunk)
        if written > ARCHIVE.size:
            raise BadInput(f"decompresses to more than {ARCHIVE.size >> 20} MiB", where=tarball.url)
        sink.write(chunk)

    sandbox = Sandbox(rootfs=root, mounts=(Mount(host=archive, inside="/archive"),))
    decompressor = DECOMPRESSORS.get(f".{name.rpartition('.')[2]}")
    if decompressor:
        with plain.open("wb") as sink:
            done = run(work, sandbox, [decompressor, "--decompress", "--stdout", "/archive"], on_output=keep)
        if not done.ok:
            raise BadInput(f"does not decompress with {decompressor}", where=tarball.url)
    else:
        plain.symlink_to(archive)
    mounts = (
        Mount(host=plain, inside="/archive.tar"),
        Mount(host=file, inside="/archive.sign"),
        Mount(host=signature.keyring, inside="/keyring.gpg"),
    )
    checking = ["gpgv", "--homedir", "/tmp", "--keyring", "/keyring.gpg", "/archive.sign", "/archive.tar"]
    done = run(work, Sandbox(rootfs=root, mounts=mounts), checking)
    if not done.ok:
        if done.returncode not in (1, 2):
            raise Infrastructure(f"gpgv ended with {done.returncode}: {done.last_words}")
        raise BadInput(
            f"the signature is not good: {done.last_words}", where=tarball.url, hint="do not use this archive"
        )
    return plain
