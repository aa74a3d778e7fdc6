// What runs in the booted kernel: traces functions, counts what was traced, and tells it as KTAP.
//
// Built static on the kernel's own tools/include/nolibc. Arguments, what to expect: release=STRING, endian=le|be,
// kprobes=ftrace|trap (whether a kprobe at a function's entry uses its patch site); probes=NAME,NAME: functions to put
// a kprobe on by their symbol.
// Each line goes to /dev/kmsg in one write, so that it stands whole between the kernel's own messages. What is long goes
// to a second console, REPORT, if the machine has one, in sections that begin with a line `== NAME`.

#define LINE 512
#define CHUNK 65536
#define CALLS 50
#define TOGGLES 40
#define LOADS 10
#define WORKERS 4
#define BLOCK 32
#define TRACED "sys_getppid"
#define TRACEFS "/tracing/"
#define MODULES_LIST "/modules.list"
#define TEST_MODULE "oolong_guest"
#define TEST_MODULE_FILE "/lib/" TEST_MODULE ".ko"
#define DATA_MODULE "oolong_data"
#define DATA_MODULE_FILE "/lib/" DATA_MODULE ".ko"
#define DIRECT_MODULE "ftrace_direct"
#define DIRECT_MODULE_FILE "/lib/ftrace-direct.ko"
#define LIVEPATCH_MODULE "livepatch_sample"
#define LIVEPATCH_MODULE_FILE "/lib/livepatch-sample.ko"
#define PATCH_STATE "/sys/kernel/livepatch/" LIVEPATCH_MODULE
#define LIVEPATCHED "this has been live patched"
#define TRANSITION_MS 30000
#define UNLOAD_MS 2000
#define POLL_MS 50
#define PROBES 64
#define PROBE "oolong_%d"
#define REPORT "/dev/hvc1"
#define STACK_TRACER "/proc/sys/kernel/stack_tracer_enabled"

// The points at which the host may stop the machine and look at its memory: oolong/machine/stops.py has the same names.
enum point { OFF, ONE, ALL, MODULE, GRAPH, KPROBE, DIRECT, LIVEPATCH, QUIET };
static const char *const points[] = {
	[OFF] = "off", [ONE] = "one", [ALL] = "all", [MODULE] = "module", [GRAPH] = "graph", [KPROBE] = "kprobe",
	[DIRECT] = "direct", [LIVEPATCH] = "livepatch", [QUIET] = "off-again",
};
#define STOP_NUMBER 0x6f00

static int log_fd = 1;
static int report_fd = -1;
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

static int open_traced(const char *file)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		say("# opening %s: error %d", file, errno);
	return fd;
}

// How many lines of a file of tracefs, less comments, `see` takes for what it looks for; -1 if it cannot be read.
static int see_lines(const char *file, int (*see)(const char *line, void *with), void *with)
{
	char line[LINE];
	int fd = open_traced(file), got, at = 0, found = 0;

	if (fd < 0)
		return -1;
	while ((got = read(fd, chunk, sizeof(chunk))) > 0) {
		for (int i = 0; i < got; i++) {
			if (chunk[i] != '\n') {
				if (at < LINE - 1)
					line[at++] = chunk[i];
				continue;
			}
			line[at] = 0;
			at = 0;
			found += line[0] != '#' && see(line, with);
		}
	}
	close(fd);
	return got < 0 ? -1 : found;
}

static int has_word(const char *line, void *word)
{
	return !word || strstr(line, word);
}

// Lines of a file of tracefs that contain `word`, any for NULL, and are no comment; -1 if it cannot be read.
static int count_lines(const char *file, const char *word)
{
	return see_lines(file, has_word, (void *)word);
}

static void report(const char *text, int length)
{
	int done;

	while (report_fd >= 0 && length > 0) {
		done = write(report_fd, text, length);
		if (done <= 0) {
			say("# writing the report: error %d", errno);
			close(report_fd);
			report_fd = -1;
		}
		text += done;
		length -= done;
	}
}

// A section of the report: what a file of tracefs says, at a point if one is named.
static void report_file(const char *file, const char *at)
{
	char head[128];
	int fd, got;

	if (report_fd < 0)
		return;
	fd = open_traced(file);
	if (fd < 0)
		return;
	snprintf(head, sizeof(head), at ? "== %s@%s\n" : "== %s\n", file, at);
	report(head, strlen(head));
	while ((got = read(fd, chunk, sizeof(chunk))) > 0)
		report(chunk, got);
	close(fd);
}

// Lines of the kernel's own functions that one checksum of the report stands for: oolong/audit/guest_report.py has the
// same number, and makes the same checksums.
struct block {
	int lines;
	unsigned int crc;
};

// CRC-32 as zlib has it.
static unsigned int crc_of(unsigned int crc, const char *text, int length)
{
	static unsigned int table[256];

	for (unsigned int i = 0; !table[255] && i < 256; i++) {
		unsigned int value = i;

		for (int bit = 0; bit < 8; bit++)
			value = value & 1 ? value >> 1 ^ 0xedb88320 : value >> 1;
		table[i] = value;
	}
	crc = ~crc;
	for (int i = 0; i < length; i++)
		crc = table[(crc ^ (unsigned char)text[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

static void report_block(struct block *block)
{
	char line[64];

	if (!block->lines)
		return;
	snprintf(line, sizeof(line), "block %d %x\n", block->lines, block->crc);
	report(line, strlen(line));
	block->lines = block->crc = 0;
}

// NAME (USERS) LETTERS, with spaces where a letter is missing, up to a tab: as `NAME USERS LETTERS` into a checksum.
static int add_to_block(const char *line, const char *users, struct block *block)
{
	char text[LINE];
	const char *end = strchr(line, ' ');
	int length;

	if (!end || end > users)
		end = users;
	length = end - line;
	memcpy(text, line, length);
	text[length++] = ' ';
	for (line = users + 1; *line && *line != ')'; line++)
		text[length++] = *line;
	text[length++] = ' ';
	for (line += *line == ')'; *line && *line != '\t'; line++)
		if (*line != ' ')
			text[length++] = *line;
	text[length++] = '\n';
	block->crc = crc_of(block->crc, text, length);
	if (++block->lines == BLOCK)
		report_block(block);
	return 1;
}

static int report_or_add(const char *line, void *block)
{
	const char *users = strchr(line, '('), *module = strchr(line, '[');

	if (*line == '\t' || !users)
		return 0;
	if (!module || module > users)
		return add_to_block(line, users, block);
	report(line, strlen(line));
	report("\n", 1);
	return 1;
}

// All functions would take seconds: of those, the lines of modules, checksums of the others and the number of all.
static void report_enabled(enum point point)
{
	char line[64];
	struct block block = { 0 };
	int all = point == ALL || point == MODULE || point == GRAPH, enabled;

	if (!all) {
		report_file("enabled_functions", points[point]);
	} else if (report_fd >= 0) {
		snprintf(line, sizeof(line), "== enabled_functions@%s\n", points[point]);
		report(line, strlen(line));
		enabled = see_lines("enabled_functions", report_or_add, &block);
		report_block(&block);
		snprintf(line, sizeof(line), "count %d\n", enabled);
		report(line, strlen(line));
	}
}

// With a breakpoint at this system call the host has its look now; without one it is a call that fails.
static void stop(enum point point)
{
	report_file("dyn_ftrace_total_info", points[point]);
	report_enabled(point);
	say("# stop %s", points[point]);
	syscall(__NR_sched_get_priority_max, STOP_NUMBER + point);
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

static int unload(const char *module)
{
	for (int waited = 0; syscall(__NR_delete_module, module, O_NONBLOCK); waited += POLL_MS) {
		if (errno != EAGAIN || waited >= UNLOAD_MS) {
			say("# unloading %s: error %d", module, errno);
			return 0;
		}
		msleep(POLL_MS);
	}
	return 1;
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
		if (i == LOADS - 1)
			stop(MODULE);
		good = unload(TEST_MODULE) && good;
		left = count_lines("available_filter_functions", "[" TEST_MODULE "]");
		good = good && left == 0;
	}
	say("# %d calls in the module made, %d traced, %d functions listed, %d after it went", CALLS, traced, listed, left);
	check(good, what);
}

static void check_module_without_functions(void)
{
	const char *what = "a module without functions";
	int good, listed;

	if (!exists(DATA_MODULE_FILE)) {
		skip(what, "this configuration builds no modules");
		return;
	}
	good = load(DATA_MODULE_FILE, "");
	listed = count_lines("available_filter_functions", "[" DATA_MODULE "]");
	good = good && unload(DATA_MODULE);
	check(good && listed == 0, what);
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

struct landed {
	char text[LINE];
	int length;
};

static const char *name_end(const char *names)
{
	while (*names && *names != ',')
		names++;
	return names;
}

// The functions that a kprobe's patch site is on: those whose registers somebody wants, while nobody traces.
static int has_registers(const char *line, void *with)
{
	struct landed *landed = with;
	const char *end = strchr(line, ' ');
	int length = end ? end - line : 0;

	if (!end || !strstr(line, ") R") || landed->length + length + 2 > (int)sizeof(landed->text))
		return 0;
	landed->text[landed->length++] = ' ';
	memcpy(landed->text + landed->length, line, length);
	landed->length += length;
	return 1;
}

// Appends to a file of tracefs, where put() would remove all that is there; 0 or the error.
static int append(const char *file, const char *text)
{
	char path[128];
	int fd, error = 0, length = strlen(text);

	snprintf(path, sizeof(path), TRACEFS "%s", file);
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0 || write(fd, text, length) != length)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error;
}

// Registers a kprobe for each name of a list; how many there are, `errors` with what came of each.
static int register_probes(const char *names, int *errors)
{
	char command[LINE];
	int asked = 0;

	for (const char *end; *names && asked < PROBES; names = *end ? end + 1 : end) {
		end = name_end(names);
		snprintf(command, sizeof(command), "p:" PROBE " %.*s", asked, (int)(end - names), names);
		errors[asked++] = append("kprobe_events", command);
	}
	return asked;
}

// Each alone, since the list of enabled functions does not say whose they are.
static int report_probes(const char *names, const int *errors, int asked)
{
	struct landed landed;
	char path[64];
	int through_ftrace = 0, found;

	report("== kprobes\n", strlen("== kprobes\n"));
	for (int i = 0; i < asked; i++) {
		const char *end = name_end(names);

		report(names, end - names);
		names = *end ? end + 1 : end;
		landed.length = found = 0;
		if (errors[i]) {
			landed.length = snprintf(landed.text, sizeof(landed.text), " !%d", errors[i]);
		} else {
			snprintf(path, sizeof(path), "events/kprobes/" PROBE "/enable", i);
			if (put(path, "1"))
				found = see_lines("enabled_functions", has_registers, &landed);
			put(path, "0");
			if (found <= 0)
				landed.length = snprintf(landed.text, sizeof(landed.text), " -");
		}
		through_ftrace += found > 0;
		landed.text[landed.length++] = '\n';
		report(landed.text, landed.length);
	}
	return through_ftrace;
}

// Where each probe landed is for the host to judge; here they have to come and go.
static void check_probes(const char *names)
{
	const char *what = "kprobes by symbol";
	int errors[PROBES], asked, registered = 0, through_ftrace, good;

	if (!exists(TRACEFS "kprobe_events")) {
		skip(what, "not in this kernel");
		return;
	}
	good = put("current_tracer", "nop") && put("tracing_on", "0");
	asked = register_probes(names, errors);
	for (int i = 0; i < asked; i++)
		registered += !errors[i];
	through_ftrace = report_probes(names, errors, asked);
	good = good && registered && put("events/kprobes/enable", "1");
	stop(KPROBE);
	good = good && put("events/kprobes/enable", "0");
	good = put("kprobe_events", "") && good && count_lines("kprobe_events", NULL) == 0;
	say("# %d kprobes asked for, %d registered, %d through ftrace", asked, registered, through_ftrace);
	check(good, what);
}

// Timers wake whoever sleeps by the function that the module hooks.
static void check_direct_call(void)
{
	int good, seen;

	good = put("current_tracer", "nop") && put("trace", "") && put("tracing_on", "1") && load(DIRECT_MODULE_FILE, "");
	for (int i = 0; i < CALLS; i++)
		msleep(1);
	good = put("tracing_on", "0") && good;
	seen = count_lines("trace", "my_direct_func: waking up");
	stop(DIRECT);
	good = unload(DIRECT_MODULE) && good;
	say("# %d direct calls seen", seen);
	check(good && seen > 0, "direct call");
}

static int says(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY), got = fd < 0 ? 0 : read(fd, chunk, sizeof(chunk) - 1);

	if (fd >= 0)
		close(fd);
	chunk[got > 0 ? got : 0] = 0;
	return strstr(chunk, text) != NULL;
}

static int is_over(void)
{
	return !exists(PATCH_STATE);
}

static int is_patched(void)
{
	return says(PATCH_STATE "/transition", "0");
}

static int becomes(int (*true_at_last)(void))
{
	for (int waited = 0; !true_at_last(); waited += POLL_MS) {
		if (waited >= TRANSITION_MS)
			return 0;
		msleep(POLL_MS);
	}
	return 1;
}

static void check_livepatch(void)
{
	int good, patched, restored;

	mount("sysfs", "/sys", "sysfs", 0, NULL);
	good = load(LIVEPATCH_MODULE_FILE, "") && becomes(is_patched);
	patched = says("/proc/cmdline", LIVEPATCHED);
	stop(LIVEPATCH);
	good = good && put_in(PATCH_STATE "/enabled", "0") && becomes(is_over) && unload(LIVEPATCH_MODULE);
	restored = !says("/proc/cmdline", LIVEPATCHED);
	say("# /proc/cmdline %s, and then %s", patched ? "patched" : "as it was", restored ? "as it was" : "patched");
	check(good && patched && restored, "livepatch");
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
	int mounted, direct = exists(DIRECT_MODULE_FILE), livepatch = exists(LIVEPATCH_MODULE_FILE);
	const char *probes = argument(argc, argv, "probes");

	if (kmsg >= 0)
		log_fd = kmsg;
	say("KTAP version 1");
	say("1..%d", 14 + lines_of(MODULES_LIST) + direct + livepatch);
	check_identity(argument(argc, argv, "release"), argument(argc, argv, "endian"));
	mount("proc", "/proc", "proc", 0, NULL);
	mounted = mount("tracefs", "/tracing", "tracefs", 0, NULL) == 0;
	check(mounted, "tracefs");
	report_fd = open(REPORT, O_WRONLY);
	if (report_fd < 0)
		say("# no report channel");
	report_file("available_filter_functions", NULL);
	if (exists(TRACEFS "available_filter_functions_addrs"))
		report_file("available_filter_functions_addrs", NULL);
	stop(OFF);
	// before the modules, whose functions count as well
	check_totals();
	check_modules(MODULES_LIST);

	put("set_ftrace_filter", TRACED);
	check_tracer("function", TRACED " <-", "function tracer on one function");
	stop(ONE);
	put("set_ftrace_filter", "");
	check_tracer("function", TRACED " <-", "function tracer on all functions");
	stop(ALL);
	put("set_graph_function", TRACED);
	check_module_under_trace();
	check_module_without_functions();
	check_tracer("function_graph", TRACED "()", "function_graph");
	stop(GRAPH);
	check_stack_tracer();
	check_kprobe(!strcmp(argument(argc, argv, "kprobes"), "ftrace"));
	check_probes(*probes ? probes : TRACED);
	if (direct)
		check_direct_call();
	if (livepatch)
		check_livepatch();
	check_toggling();
	check_quiet("tracing off again");
	if (exists(TRACEFS "touched_functions"))
		report_file("touched_functions", points[QUIET]);
	stop(QUIET);
	// or what is still on its way would be lost
	close(report_fd);
	say("# %d failed", failures);
	reboot(RB_POWER_OFF);
	return 1;
}
