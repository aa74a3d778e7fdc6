"""Archives that claim to hold more than they have."""

import tarfile


def sparse(name: str, *, claimed: int) -> bytes:
    """An archive of 1,536 bytes whose only member, of GNU tar's old sparse kind, claims to have many more."""
    member = tarfile.TarInfo(name)
    member.size, member.type = 512, tarfile.GNUTYPE_SPARSE
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    # one piece of 512 bytes at the very end; all before it is a hole
    header[386:410] = b"%011o\0%011o\0" % (claimed - 512, 512)
    header[483:495] = b"%011o\0" % claimed
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + b"x" * 512 + bytes(512)


def pax_sparse(name: str, *, claimed: int) -> bytes:
    """The same in the newer kind, whose map stands before the data."""
    headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name}
    member = tarfile.TarInfo("placeholder")
    member.pax_headers = {**headers, "GNU.sparse.realsize": str(claimed)}
    data = b"1\n%d\n512\n" % (claimed - 512)
    data = data.ljust(512, b"\0") + b"x" * 512
    member.size = len(data)
    return member.tobuf(tarfile.PAX_FORMAT) + data + bytes(1024)
