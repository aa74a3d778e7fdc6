#define FTRACE_OOL_STUB_SIZE 24
#define SZL 8
