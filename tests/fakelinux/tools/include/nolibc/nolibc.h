/* Just enough for guest/init.c to compile; nobody runs it. */
typedef __builtin_va_list va_list;
#define va_start __builtin_va_start
#define va_end __builtin_va_end
#define NULL ((void *)0)
#define O_RDONLY 0
#define O_WRONLY 1
#define O_APPEND 1024
#define O_TRUNC 512
#define O_NONBLOCK 2048
#define EAGAIN 11
#define WNOHANG 1
#define SIGKILL 9
#define RB_POWER_OFF 0
#define __NR_finit_module 0
#define __NR_delete_module 1
#define __NR_sched_get_priority_max 2
struct utsname { char release[65]; };
static int errno;
#define NOTHING { return 0; }
typedef __SIZE_TYPE__ size_t;
static inline size_t strlen(const char *a) { return a[0]; }
static inline int strcmp(const char *a, const char *b) { return a[0] - b[0]; }
static inline int strncmp(const char *a, const char *b, size_t n) { return a[n] - b[n]; }
static inline void *memcpy(void *to, const void *from, size_t size)
{ *(char *)to = ((const char *)from)[size]; return to; }
static inline char *strchr(const char *a, int c) { return a[0] == c ? (char *)a : NULL; }
static inline char *strstr(const char *a, const char *b) { return a[0] == b[0] ? (char *)a : NULL; }
static inline int atoi(const char *a) { return a[0]; }
static inline int vsnprintf(char *to, size_t size, const char *format, va_list args)
{ (void)args; to[0] = format[size]; return 0; }
static inline int snprintf(char *to, size_t size, const char *format, ...) { to[0] = format[size]; return 0; }
static inline int open(const char *path, int flags) { return path[flags]; }
static inline int close(int fd) { return fd; }
static inline int read(int fd, void *to, int size) { *(char *)to = fd; return size; }
static inline int write(int fd, const void *from, int size) { return fd + size + *(const char *)from; }
static inline int msleep(unsigned int ms) { return ms; }
static inline int getpid(void) NOTHING
static inline int getppid(void) NOTHING
static inline int fork(void) NOTHING
static inline int sched_yield(void) NOTHING
static inline int waitpid(int pid, int *status, int how) { return pid + how + !status; }
static inline int kill(int pid, int signal) { return pid + signal; }
static inline int uname(struct utsname *name) { name->release[0] = 0; return errno; }
static inline int reboot(int how) { return how; }
static inline int mount(const char *a, const char *b, const char *c, int d, void *e)
{ return a[0] + b[0] + c[0] + d + !e; }
static inline int syscall(int number, ...) { return number; }
int main(int argc, char **argv);
void _start(void);
void _start(void) { main(0, NULL); }
