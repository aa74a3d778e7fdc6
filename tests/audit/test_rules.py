"""Rules that need no image: what they explain, and what they do not."""

import pytest

from oolong.audit.rules import PROBED, probe_without_target

BEFORE = """
config ARCH_USING_PATCHABLE_FUNCTION_ENTRY
	depends on FUNCTION_TRACER && (PPC32 || PPC64_ELF_ABI_V2)
	def_bool $(success,$(srctree)/arch/powerpc/tools/check-fpatchable-function-entry.sh $(CC) $(CLANG_FLAGS) \
-mlittle-endian) if PPC64 && CPU_LITTLE_ENDIAN
	def_bool $(success,$(srctree)/arch/powerpc/tools/check-fpatchable-function-entry.sh $(CC) -mbig-endian) if PPC64
"""
CURED = BEFORE.replace("$(CC) -mbig", "$(CC) $(CLANG_FLAGS) -mbig")
BE = {"CC_IS_CLANG": "y", "CPU_BIG_ENDIAN": "y"}
LE = {"CC_IS_CLANG": "y", "CPU_LITTLE_ENDIAN": "y"}


@pytest.mark.parametrize(
    ("kconfig", "config", "fit", "explains"),
    [
        (BEFORE, BE, True, True),
        # the opposite: the compiler is unfit, and the symbol is on
        (BEFORE, {**BE, PROBED: "y"}, False, False),
        (BEFORE, BE, False, False),
        (CURED, BE, True, False),
        (BEFORE, LE, True, False),
        (BEFORE, {"CC_IS_GCC": "y", "CPU_BIG_ENDIAN": "y"}, True, False),
        ("", BE, True, False),
    ],
    ids=["lost", "unfit-and-on", "unfit-and-off", "asked-with-target", "other-order", "gcc", "asks-in-another-way"],
)
def test_clang_that_was_asked_for_another_machine(
    kconfig: str, config: dict[str, str], fit: bool, explains: bool
) -> None:
    assert probe_without_target(kconfig, config, fit=fit) == explains
