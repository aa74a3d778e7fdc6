// What runs in the booted kernel: traces functions, counts what was traced, and tells it as KTAP.
//
// Built static on the kernel's own tools/include/nolibc. Arguments: release=STRING endian=le|be, what to expect.
// Each line goes to /dev/kmsg in one write, so that it stands whole between the kernel's own messages.

#define LINE 512
#define CHUNK 65536
#define CALLS 50
#define TRACED "sys_getppid"
#define TRACEFS "/tracing/"

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

static int put(const char *file, const char *text)
{
	char path[128];
	int fd, length = strlen(text), done;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | O_TRUNC);
	done = fd < 0 ? -1 : write(fd, text, length);
	if (done != length && length)
		say("# writing '%s' to %s: error %d", text, file, errno);
	if (fd >= 0)
		close(fd);
	return done == length;
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

// Runs a tracer over CALLS calls of the traced function by this process alone; how many of them it recorded.
static int traced_calls(const char *tracer, const char *word)
{
	char pid[16];
	int set;

	snprintf(pid, sizeof(pid), "%d", getpid());
	set = put("tracing_on", "0") && put("set_ftrace_pid", pid) && put("trace", "") && put("current_tracer", tracer);
	set = set && put("tracing_on", "1");
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

static void check_modules(const char *list)
{
	char path[128];
	int fd = open(list, O_RDONLY), module, at = 0, loaded;

	while (fd >= 0 && read(fd, path + at, 1) == 1) {
		if (path[at] != '\n') {
			at += at < (int)sizeof(path) - 1;
			continue;
		}
		path[at] = 0;
		at = 0;
		module = open(path, O_RDONLY);
		loaded = syscall(__NR_finit_module, module, "", 0) == 0;
		if (!loaded)
			say("# %s: error %d", path, errno);
		close(module);
		check(loaded, path);
	}
	close(fd);
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
	say("1..%d", 8 + lines_of("/modules.list"));
	check_identity(argument(argc, argv, "release"), argument(argc, argv, "endian"));
	mounted = mount("tracefs", "/tracing", "tracefs", 0, NULL) == 0;
	check(mounted, "tracefs");
	// before the modules, whose functions count as well
	check_totals();
	check_modules("/modules.list");

	put("set_ftrace_filter", TRACED);
	check_tracer("function", TRACED " <-", "function tracer on one function");
	put("set_ftrace_filter", "");
	check_tracer("function", TRACED " <-", "function tracer on all functions");
	put("set_graph_function", TRACED);
	check_tracer("function_graph", TRACED "()", "function_graph");
	check_quiet("tracing off again");
	say("# %d failed", failures);
	reboot(RB_POWER_OFF);
	return 1;
}
