"""The checks that stages and the verdict decide, declared: what the tree's scripts say, what stages counted, that each
stage succeeded."""

from oolong.audit.registry import (
    ALWAYS,
    AUDITED,
    NEVER,
    SINCE_OUT_OF_LINE,
    WITH_STUBS,
    Due,
    Entry,
    Needs,
    Trait,
    declare,
)
from oolong.errors import Kind

STAGE = "stage."
LINKED_TWICE = Due(traits=frozenset({Trait.LINK_BOTH}))

TREE_SCRIPT = declare(
    "object.tree-script",
    title="what the tree's own script makes",
    needs=Needs.OBJECT,
    kind=Kind.STUB_AUDIT,
    holds="the .S of the tree's own script, on the same vmlinux.o, assembles to what oolong's does: the same counts, "
    "sections, room, alignment, contents and symbols",
    failure="the kernel's build miscounts, or reserves less than it counts",
    stages=("stubs",),
    due=WITH_STUBS,
)
PROBE = declare(
    "config.out-of-line-probe",
    title="the look at the compiler",
    needs=Needs.TREE,
    kind=Kind.CONFIG_DRIFT,
    holds="`ARCH_USING_PATCHABLE_FUNCTION_ENTRY` is set if, and only if, the tree's own script finds the compiler fit "
    "with all flags of the kernel",
    failure="out-of-line ftrace was lost silently",
    stages=("audit-object",),
    due=AUDITED & SINCE_OUT_OF_LINE,
)
POST_LINK_SCRIPTS = declare(
    "image.post-link-scripts",
    title="the tree's own checks of the image",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="head_check.sh, relocs_check.sh and ftrace_check.sh, run by oolong, find nothing",
    failure="what they say",
)
WITHOUT_STUBS = declare(
    "stubs.out-of-line",
    title="out-of-line ftrace",
    needs=Needs.STAGE,
    kind=Kind.STUB_AUDIT,
    holds="skipped where out-of-line ftrace is off, in place of the checks below",
    failure="the stub pass does not say whether the kernel has stubs",
    stages=("stubs",),
    due=NEVER,
)
PLAN = declare(
    "stubs.plan",
    title="two counts of vmlinux.o",
    needs=Needs.OBJECT,
    kind=Kind.STUB_AUDIT,
    holds="the stub pass counted as many sites, in text and in init text, as the audit of vmlinux.o",
    failure="one of the two reads vmlinux.o wrongly",
    stages=("stubs", "audit-object"),
    due=AUDITED & WITH_STUBS,
)
LINK = declare(
    "stubs.link",
    title="the stubs that were linked",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="the linked kernel's count words are the ones of the plan",
    failure="the kernel has other stubs than were counted",
    stages=("stubs", "link"),
    due=WITH_STUBS,
)
CROSSLINK = declare(
    "stubs.crosslink",
    title="the stubs of the other pass",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="the same for the kernel that was linked with the other stub pass (sets with `link_both`)",
    failure="oolong's pass and the tree's own rule come to other stubs",
    stages=("stubs", "crosslink"),
    due=WITH_STUBS & LINKED_TWICE,
)
BOTH_LINKS = declare(
    "stubs.both-links",
    title="both stub passes",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="both kernels have the same stub areas, and are equal byte for byte (where the two .S assemble to the same, "
    "and without debug information, which holds their lines)",
    failure="oolong's pass and the tree's own rule come to other stubs",
    stages=("stubs", "link", "crosslink"),
    due=WITH_STUBS & LINKED_TWICE,
)
BOOT_SITES = declare(
    "boot.sites",
    title="sites at boot",
    needs=Needs.GUEST,
    kind=Kind.STUB_AUDIT,
    holds="the kernel at boot says `ftrace: allocating N entries` with N = the sites in text and init text of vmlinux",
    failure="the kernel found other sites than were counted",
    stages=("stubs", "audit-image", "boot"),
    due=AUDITED & WITH_STUBS,
)
BOOT_TOTAL = declare(
    "boot.total",
    title="sites that stay",
    needs=Needs.GUEST,
    kind=Kind.STUB_AUDIT,
    holds="after init memory was freed, `dyn_ftrace_total_info` = the sites in text of vmlinux",
    failure="sites of init text stayed, or sites of text went with them",
    stages=("stubs", "audit-image", "boot"),
    due=AUDITED & WITH_STUBS,
)
EXPECTED_OOL = declare(
    "expect.ool",
    title="out-of-line ftrace as expected",
    needs=Needs.TREE,
    kind=Kind.UNEXPECTED,
    holds="out-of-line ftrace is on or off as the cell expects (only where it says so)",
    failure="the toolchain can do other things than was thought",
    stages=("stubs",),
    due=Due(traits=frozenset({Trait.EXPECTED})),
)
REPRODUCED = declare(
    "artifacts.digest",
    title="the same bytes again",
    needs=Needs.IMAGE,
    kind=Kind.DIGEST,
    holds="the same inputs gave the bytes that pipeline.lock records (only where they are recorded)",
    failure="the build depends on something that no recipe holds",
    stages=("compile", "link"),
    due=Due(traits=frozenset({Trait.RECORDED})),
)
COMPLETE = declare(
    "audit.complete",
    title="all that is due",
    needs=Needs.STAGE,
    kind=Kind.STUB_AUDIT,
    holds="the stages, checks, stops, report sections and tests that are due all ran, and on something",
    failure="nobody looked: the other checks say nothing about what is named here",
    stages=("audit-object", "audit-image", "boot", "live"),
    due=NEVER,
)
VICTIMS = declare(
    "audit.victims",
    title="the same victims again",
    needs=Needs.GUEST,
    kind=Kind.DIGEST,
    holds="the same inputs gave the findings that pipeline.lock records, by name: none new, none gone (only where they "
    "are recorded)",
    failure="something else is wrong than was known, or a check no longer finds what it found",
    stages=("audit-object", "audit-image", "live"),
    # where no victims are recorded it says so
    due=NEVER,
)
LINKS = {"link": LINK, "crosslink": CROSSLINK}

# what a stage does that a kernel can make fail
WORK = {
    "rootfs": "the root file system is there",
    "source": "the tree is there, with its patches",
    "configure": ".config says what was asked and required",
    "compile": "the kernel compiles to vmlinux.o",
    "offsets": "the layout of ftrace's structures can be read",
    "stubs": "the stubs can be counted, and the tree's own script makes the same of them",
    "audit-object": "vmlinux.o can be read",
    "link": "the kernel links",
    "audit-image": "vmlinux can be read",
    "tree": "a copy of the object tree can be linked again, configured otherwise, and cleaned",
    "crosslink": "the kernel links with the other stub pass",
    "modules": "the modules build",
    "initramfs": "the guest builds, and is packed",
    "boot": "the kernel boots, nothing is wrong on its console, the guest's tests pass",
    "live": "the memory of the guest can be read",
}
# the stages that not every cell has
SOME_CELLS = {
    "crosslink": LINKED_TWICE,
    "modules": Due(traits=frozenset({Trait.MODULES})),
    "tree": Due(traits=frozenset({Trait.TREE})),
}
STAGES = {
    name: declare(
        f"{STAGE}{name}",
        title=f"the stage {name}",
        needs=Needs.STAGE,
        kind=None,
        holds=holds,
        failure="what its lines say",
        stages=(name,),
        due=SOME_CELLS.get(name, ALWAYS),
    )
    for name, holds in WORK.items()
}

# of the cell as a whole, in the order in which they are told
CELL: tuple[Entry, ...] = (
    WITHOUT_STUBS,
    PLAN,
    LINK,
    CROSSLINK,
    BOTH_LINKS,
    BOOT_SITES,
    BOOT_TOTAL,
    EXPECTED_OOL,
    REPRODUCED,
    VICTIMS,
    COMPLETE,
    *STAGES.values(),
)
