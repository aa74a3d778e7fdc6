"""The names of what stages make, as their users ask for them: so that no stage imports another for a name."""

# rootfs, source
ROOT, TREE = "root", "tree"
# configure: the .config, and the object tree that it was made in
CONFIG, PREPARED = "config", "prepared"
# compile: also its .config and the kernel's release
OBJECTS, VMLINUX_O, RELEASE = "objects", "vmlinux.o", "release"
# stubs, link; their file names are those of the kernel's build
STUB_SOURCE, VMLINUX, SYSTEM_MAP = "vmlinux.arch.S", "vmlinux", "System.map"
# what the tree's own script makes of the same vmlinux.o
TREE_STUB_SOURCE = "tree-script.S"
# offsets
OFFSETS = "offsets.json"
# modules: all of them, and the order in which they can be loaded
MODULES, ORDER = "modules", "order.json"
INITRAMFS = "initramfs"
# boot
CONSOLE, MEMORY, REPORT = "console.log", "memory", "guest-report"
# audit-object, audit-image, live
CHECKS = "checks.json"
