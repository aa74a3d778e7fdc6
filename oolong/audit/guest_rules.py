"""The rules of oolong.audit.rules, as they explain what is found in a guest (pure)."""

from collections.abc import Sequence

from oolong.audit import rules
from oolong.audit.image import Function, Image
from oolong.audit.probes import LONG_BYTES


def of_listing(image: Image, limit: int | None, start: int, ips: Sequence[int]) -> str:
    """The rule that explains why the function at `start` is listed for several patch sites: one is its own, and each
    other is that of a dead record which the kernel, within its limit or without one, takes for the function's."""
    function = image.function_at(start)
    sites = [image.site_at(ip) for ip in ips]
    others = [site for site in sites if site is None or site.function != function]
    if function is None or len(others) != len(sites) - 1:
        return ""
    explained = rules.no_max_offset if limit is None else rules.dead_record
    name = rules.NO_MAX_OFFSET.name if limit is None else rules.DEAD_RECORD.name
    return name if all(site is not None and explained(image, site, limit) for site in others) else ""


def of_probe(image: Image, limit: int | None, victim: Function, ip: int) -> str:
    """The rule that explains why a kprobe on a function uses another patch site, where the kernel's search came to
    that one. A function that is too long for its neighbour to be in reach is never explained."""
    site = image.site_at(ip)
    if site is None or victim.size >= LONG_BYTES:
        return ""
    if rules.short_function(image, victim, site):
        return rules.SHORT_FUNCTION.name
    if limit is not None and rules.dead_record(image, site, limit):
        return rules.DEAD_RECORD.name
    return ""
