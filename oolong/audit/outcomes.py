"""The checks that stages and the verdict decide, declared: what the tree's scripts say, what stages counted, that each
stage succeeded."""

from oolong.audit.registry import Entry, Needs, declare
from oolong.errors import Kind

STAGE = "stage."

TREE_SCRIPT = declare(
    "object.tree-script",
    title="the count of the tree's own script",
    needs=Needs.OBJECT,
    kind=Kind.STUB_AUDIT,
    holds="the tree's own script, on the same vmlinux.o, sets the same counts",
    failure="the kernel's build miscounts",
    stages=("stubs",),
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
    failure="it never fails",
    stages=("stubs",),
)
LINK = declare(
    "stubs.link",
    title="the stubs that were linked",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="the linked kernel's count words are the ones of the plan",
    failure="the kernel has other stubs than were counted",
    stages=("stubs", "link"),
)
CROSSLINK = declare(
    "stubs.crosslink",
    title="the stubs of the other pass",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="the same for the kernel that was linked with the other stub pass (sets with `link_both`)",
    failure="oolong's pass and the tree's own rule come to other stubs",
    stages=("stubs", "crosslink"),
)
BOTH_LINKS = declare(
    "stubs.both-links",
    title="both stub passes",
    needs=Needs.IMAGE,
    kind=Kind.STUB_AUDIT,
    holds="both kernels have the same stub areas",
    failure="oolong's pass and the tree's own rule come to other stubs",
    stages=("link", "crosslink"),
)
BOOT_SITES = declare(
    "boot.sites",
    title="sites at boot",
    needs=Needs.GUEST,
    kind=Kind.STUB_AUDIT,
    holds="the kernel at boot says `ftrace: allocating N entries` with N = all sites",
    failure="the kernel found other sites than were counted",
    stages=("stubs", "boot"),
)
BOOT_TOTAL = declare(
    "boot.total",
    title="sites that stay",
    needs=Needs.GUEST,
    kind=Kind.STUB_AUDIT,
    holds="after init memory was freed, `dyn_ftrace_total_info` = the text sites",
    failure="sites of init text stayed, or sites of text went with them",
    stages=("stubs", "boot"),
)
EXPECTED_OOL = declare(
    "expect.ool",
    title="out-of-line ftrace as expected",
    needs=Needs.TREE,
    kind=Kind.UNEXPECTED,
    holds="out-of-line ftrace is on or off as the cell expects (only where it says so)",
    failure="the toolchain can do other things than was thought",
    stages=("stubs",),
)
REPRODUCED = declare(
    "artifacts.digest",
    title="the same bytes again",
    needs=Needs.IMAGE,
    kind=Kind.DIGEST,
    holds="the same inputs gave the bytes that pipeline.lock records (only where they are recorded)",
    failure="the build depends on something that no recipe holds",
    stages=("compile", "link"),
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
)
LINKS = {"link": LINK, "crosslink": CROSSLINK}

# what a stage does that a kernel can make fail
WORK = {
    "rootfs": "the root file system is there",
    "source": "the tree is there, with its patches",
    "configure": ".config says what was asked and required",
    "compile": "the kernel compiles to vmlinux.o",
    "offsets": "the layout of ftrace's structures can be read",
    "stubs": "the stubs can be counted, and the tree's own script counts the same",
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
STAGES = {
    name: declare(
        f"{STAGE}{name}",
        title=f"the stage {name}",
        needs=Needs.STAGE,
        kind=None,
        holds=holds,
        failure="what its lines say",
        stages=(name,),
    )
    for name, holds in WORK.items()
}

# of the cell as a whole, in the order in which they are told
CELL: tuple[Entry, ...] = (
    WITHOUT_STUBS,
    LINK,
    CROSSLINK,
    BOTH_LINKS,
    BOOT_SITES,
    BOOT_TOTAL,
    EXPECTED_OOL,
    REPRODUCED,
    VICTIMS,
    *STAGES.values(),
)
