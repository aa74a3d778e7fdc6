// What runs in the booted kernel: traces functions, counts what was traced, and tells it as KTAP.
//
// Built static on the kernel's own tools/include/nolibc. Arguments, what to expect: release=STRING, endian=le|be,
// kprobes=ftrace|trap (whether a kprobe at a function's entry uses its patch site).
// Each line goes to /dev/kmsg in one write, so that it stands whole between the kernel's own messages.

#define LINE 512
#define CHUNK 65536
#define CALLS 50
#define TOGGLES 40
#define LOADS 10
#define WORKERS 4
#define TRACED "sys_getppid"
#define TRACEFS "/tracing/"
#define MODULES_LIST "/modules.list"
#define TEST_MODULE "oolong_guest"
#define TEST_MODULE_FILE "/lib/" TEST_MODULE ".ko"
#define STACK_TRACER "/proc/sys/kernel/stack_tracer_enabled"

static int log_fd = 1;
static int number;
static int failures;
static char chunk[CHUNK];

static void say(const char *format, ...)
{
	char line[LINE] = "<3>oolong: ";
	int prefix = strlen(line);
	va_list args;

	va_start(args, format);
	vsnprintf(line + prefix, sizeof(line) - prefix - 1, format, args);
	va_end(args);
	prefix = strlen(line);
	line[prefix] = '\n';
	write(log_fd, line, prefix + 1);
}

static void check(int good, const char *what)
{
	say("%s %d %s", good ? "ok" : "not ok", ++number, what);
	failures += !good;
}

static void skip(const char *what, const char *why)
{
	say("ok %d %s # SKIP %s", ++number, what, why);
}

static int exists(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int put_in(const char *path, const char *text)
{
	int fd, length = strlen(text), done;

	fd = open(path, O_WRONLY | O_TRUNC);
	done = fd < 0 ? -1 : write(fd, text, length);
	if (done != length && length)
		say("# writing '%s' to %s: error %d", text, path, errno);
	if (fd >= 0)
		close(fd);
	return done == length;
}

static int put(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	return put_in(path, text);
}

// Lines of a file of tracefs that contain `word`, any for NULL, and are no comment; -1 if it cannot be read.
static int count_lines(const char *file, const char *word)
{
	char path[128], line[LINE];
	int fd, got, at = 0, found = 0;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_RDONLY);
	if (fd < 0) {
		say("# opening %s: error %d", file, errno);
		return -1;
	}
	while ((got = read(fd, chunk, sizeof(chunk))) > 0) {
		for (int i = 0; i < got; i++) {
			if (chunk[i] != '\n') {
				if (at < LINE - 1)
					line[at++] = chunk[i];
				continue;
			}
			line[at] = 0;
			at = 0;
			found += line[0] != '#' && (!word || strstr(line, word));
		}
	}
	close(fd);
	return got < 0 ? -1 : found;
}

static void call_traced(void)
{
	for (int i = 0; i < CALLS; i++)
		getppid();
}

static int trace_this_process(const char *tracer)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	return put("tracing_on", "0") && put("set_ftrace_pid", pid) && put("trace", "") && put("current_tracer", tracer) &&
	       put("tracing_on", "1");
}

// Runs a tracer over CALLS calls of the traced function by this process alone; how many of them it recorded.
static int traced_calls(const char *tracer, const char *word)
{
	int set = trace_this_process(tracer);

	call_traced();
	set = put("tracing_on", "0") && set;
	return set ? count_lines("trace", word) : -1;
}

static void check_tracer(const char *tracer, const char *word, const char *what)
{
	int traced = traced_calls(tracer, word);

	say("# %s: %d calls made, %d traced, %d functions enabled", what, CALLS, traced,
	    count_lines("enabled_functions", NULL));
	check(traced == CALLS, what);
}

static void check_quiet(const char *what)
{
	int enabled;

	put("current_tracer", "nop");
	put("set_ftrace_filter", "");
	put("set_graph_function", "");
	enabled = count_lines("enabled_functions", NULL);
	say("# %d functions still enabled", enabled);
	check(enabled == 0, what);
}

static void check_totals(void)
{
	char text[LINE] = "";
	int fd = open(TRACEFS "dyn_ftrace_total_info", O_RDONLY);
	int total = -1, listed;

	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0)
		total = atoi(text);
	close(fd);
	listed = count_lines("available_filter_functions", NULL);
	say("# dyn_ftrace_total_info %d", total);
	say("# available_filter_functions %d", listed);
	check(total > 0 && listed == total, "all functions are listed");
}

static void check_identity(const char *release, const char *endian)
{
	const int one = 1;
	const char *order = *(const char *)&one ? "le" : "be";
	struct utsname name;

	uname(&name);
	say("# release %s", name.release);
	check(!strcmp(name.release, release), "release");
	say("# endian %s", order);
	check(!strcmp(order, endian), "endian");
}

static int load(const char *path, const char *arguments)
{
	int module = open(path, O_RDONLY);
	int loaded = syscall(__NR_finit_module, module, arguments, 0) == 0;

	if (!loaded)
		say("# loading %s: error %d", path, errno);
	close(module);
	return loaded;
}

static void check_modules(const char *list)
{
	char path[128];
	int fd = open(list, O_RDONLY), at = 0;

	while (fd >= 0 && read(fd, path + at, 1) == 1) {
		if (path[at] != '\n') {
			at += at < (int)sizeof(path) - 1;
			continue;
		}
		path[at] = 0;
		at = 0;
		check(load(path, ""), path);
	}
	close(fd);
}

// The module's functions are patched while it comes, since all functions are traced, and forgotten when it goes.
static void check_module_under_trace(void)
{
	const char *what = "module loaded and unloaded while tracing";
	int good = 1, traced = 0, listed = 0, left = 0;
	char arguments[32];

	if (!exists(TEST_MODULE_FILE)) {
		skip(what, "this configuration builds no modules");
		return;
	}
	snprintf(arguments, sizeof(arguments), "calls=%d", CALLS);
	for (int i = 0; i < LOADS && good; i++) {
		good = trace_this_process("function") && load(TEST_MODULE_FILE, arguments) && put("tracing_on", "0");
		traced = count_lines("trace", TEST_MODULE "_traced");
		listed = count_lines("available_filter_functions", "[" TEST_MODULE "]");
		good = good && traced == CALLS && listed >= 2;
		if (syscall(__NR_delete_module, TEST_MODULE, O_NONBLOCK)) {
			say("# unloading " TEST_MODULE ": error %d", errno);
			good = 0;
		}
		left = count_lines("available_filter_functions", "[" TEST_MODULE "]");
		good = good && left == 0;
	}
	say("# %d calls in the module made, %d traced, %d functions listed, %d after it went", CALLS, traced, listed, left);
	check(good, what);
}

static void check_stack_tracer(void)
{
	const char *what = "stack tracer";
	int good, depth;

	if (!exists(STACK_TRACER)) {
		skip(what, "not in this kernel");
		return;
	}
	good = put("stack_max_size", "0") && put_in(STACK_TRACER, "1");
	call_traced();
	count_lines("available_filter_functions", NULL);
	good = put_in(STACK_TRACER, "0") && good;
	// the first line is the table's head
	depth = count_lines("stack_trace", ")");
	say("# stack of %d functions", depth);
	check(good && depth > 2, what);
}

static void check_kprobe(int on_ftrace)
{
	const char *what = "kprobe at a function's entry";
	int good, hits, uses_site;

	if (!exists(TRACEFS "kprobe_events")) {
		skip(what, "not in this kernel");
		return;
	}
	good = put("current_tracer", "nop") && put("trace", "") && put("kprobe_events", "p:oolong_probe " TRACED);
	good = good && put("events/kprobes/oolong_probe/enable", "1") && put("tracing_on", "1");
	call_traced();
	uses_site = count_lines("enabled_functions", TRACED) == 1;
	good = put("tracing_on", "0") && good;
	hits = count_lines("trace", "oolong_probe:");
	good = put("events/kprobes/oolong_probe/enable", "0") && put("kprobe_events", "") && good;
	say("# %d calls made, %d hits, %s", CALLS, hits, uses_site ? "through ftrace" : "by a trap");
	check(good && hits == CALLS && uses_site == on_ftrace, what);
}

static void work(void)
{
	for (;;) {
		call_traced();
		sched_yield();
	}
}

static int cpus(void)
{
	int fd = open("/proc/stat", O_RDONLY), got, found = 0;

	got = fd < 0 ? 0 : read(fd, chunk, sizeof(chunk) - 1);
	close(fd);
	chunk[got > 0 ? got : 0] = 0;
	for (char *at = chunk; (at = strstr(at, "\ncpu")); at++)
		found++;
	return found;
}

// All sites of the kernel are patched back and forth while every CPU runs through them.
static void check_toggling(void)
{
	static const char *const tracers[] = { "function", "nop", "function_graph", "nop" };
	int workers[WORKERS], good = 1, alive = 0, done = 0;

	for (int i = 0; i < WORKERS; i++) {
		workers[i] = fork();
		if (!workers[i])
			work();
		good = good && workers[i] > 0;
	}
	good = good && put("set_ftrace_pid", "") && put("set_ftrace_filter", "") && put("tracing_on", "1");
	while (good && done < TOGGLES)
		good = put("current_tracer", tracers[done++ % 4]);
	put("tracing_on", "0");
	for (int i = 0; i < WORKERS; i++) {
		if (workers[i] <= 0)
			continue;
		alive += waitpid(workers[i], NULL, WNOHANG) == 0;
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
	say("# %d tracers set, %d of %d workers alive on %d CPUs", done, alive, WORKERS, cpus());
	check(good && alive == WORKERS, "tracing toggled under load");
}

static int lines_of(const char *path)
{
	int fd = open(path, O_RDONLY), got, lines = 0;

	while (fd >= 0 && (got = read(fd, chunk, sizeof(chunk))) > 0)
		for (int i = 0; i < got; i++)
			lines += chunk[i] == '\n';
	close(fd);
	return lines;
}

static const char *argument(int argc, char **argv, const char *name)
{
	int length = strlen(name);

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], name, length) && argv[i][length] == '=')
			return argv[i] + length + 1;
	return "";
}

int main(int argc, char **argv)
{
	int kmsg = open("/dev/kmsg", O_WRONLY);
	int mounted;

	if (kmsg >= 0)
		log_fd = kmsg;
	say("KTAP version 1");
	say("1..%d", 12 + lines_of(MODULES_LIST));
	check_identity(argument(argc, argv, "release"), argument(argc, argv, "endian"));
	mount("proc", "/proc", "proc", 0, NULL);
	mounted = mount("tracefs", "/tracing", "tracefs", 0, NULL) == 0;
	check(mounted, "tracefs");
	// before the modules, whose functions count as well
	check_totals();
	check_modules(MODULES_LIST);

	put("set_ftrace_filter", TRACED);
	check_tracer("function", TRACED " <-", "function tracer on one function");
	put("set_ftrace_filter", "");
	check_tracer("function", TRACED " <-", "function tracer on all functions");
	put("set_graph_function", TRACED);
	check_module_under_trace();
	check_tracer("function_graph", TRACED "()", "function_graph");
	check_stack_tracer();
	check_kprobe(!strcmp(argument(argc, argv, "kprobes"), "ftrace"));
	check_toggling();
	check_quiet("tracing off again");
	say("# %d failed", failures);
	reboot(RB_POWER_OFF);
	return 1;
}
