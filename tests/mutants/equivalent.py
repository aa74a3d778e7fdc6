"""Mutants of objects, images and reports that make no difference, and those that only a later check notices."""

from tests.mutants import images, objects, reports

EQUIVALENT = {
    **{f"object: {kind}": why for kind, why in objects.EQUIVALENT.items()},
    **images.EQUIVALENT,
    **reports.EQUIVALENT,
}
LATER = {f"object: {kind}": check for kind, check in objects.LATER.items()}
