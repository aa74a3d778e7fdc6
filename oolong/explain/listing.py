"""All functions of a kernel with their patch sites and stubs, for machines (pure)."""

from collections.abc import Iterator
from typing import Any

from oolong.audit.image import Function, Site
from oolong.explain.kernel import Kernel


def entries(kernel: Kernel) -> Iterator[dict[str, Any]]:
    """One entry for each function by address, one more for each further site in it, and one for each site of dead weak
    code, named as the kernel would. Addresses are hexadecimal text; what there is not, is null."""
    image = kernel.image
    own: dict[int, list[Site]] = {}
    for site in image.sites:
        if site.function:
            own.setdefault(site.function.address, []).append(site)
    rows: list[tuple[int, Function | None, Site | None]] = [
        *((site.ip, None, site) for site in image.sites if site.function is None),
        *((one.address, one, site) for one in image.functions for site in own.get(one.address, [None])),
    ]
    rows.sort(key=lambda row: row[0])
    return (_entry(kernel, *row) for row in rows)


def _entry(kernel: Kernel, address: int, function: Function | None, site: Site | None) -> dict[str, Any]:
    stub = kernel.allocation.stubs.get(site.ip) if site else None
    return {
        "name": function.name if function else kernel.told(address),
        "address": hex(address),
        "size": function.size if function else None,
        "local_entry": function.local_entry if function else None,
        "site": hex(site.ip) if site else None,
        "recorded": hex(site.recorded) if site else None,
        "area": stub.area if stub else None,
        "index": stub.number if stub else None,
        "stub": hex(stub.code) if stub else None,
        "distance": stub.code - stub.ip if stub else None,
        "dead": function is None,
    }
