"""What lies in a file: ELF, DWARF, structures, instruction words."""
