#define SYM_L_GLOBAL(name) .globl name
#define SYM_START(name, linkage, align...) linkage(name); align; name:
#define SYM_CODE_END(name) .size name, . - name
#define SYM_DATA(name, data...) .globl name; name: data; .size name, . - name
