// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of an emulated host that scripts/host/boot boots.
 *
 * Mounts what programs expect, loads modules, runs the command in /command (its
 * arguments, each terminated by a NUL), copies its output to the console and to
 * /results/output, kills what it has left running, has the kernel check its
 * memory, and writes everything in /results to the first virtio disk: a sector
 * with the command's exit status and the length of the rest, then a cpio
 * archive. The sector is written last, so that a truncated archive is never
 * taken for a complete one.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK		"/dev/vda"
#define RESULTS		"/results"
#define MODULES		"/modules"
#define SECTOR		512
#define MAX_ARGS	256

/* Bits of /proc/sys/kernel/tainted */
enum {
	TAINT_MACHINE_CHECK = 4,
	TAINT_BAD_PAGE = 5,
	TAINT_DIE = 7,
	TAINT_WARN = 9,
	TAINT_SOFTLOCKUP = 14,
};

/* The exit status of a command that could not be run, as in a shell. */
#define STATUS_NO_COMMAND	127

/* The exit status where a module could not be loaded. */
#define STATUS_NO_MODULE	126

static bool in_line;
static FILE *archive;
static unsigned int archive_ino;

static void complain(const char *what)
{
	printf("init: %s: %s\n", what, strerror(errno));
}

static void try_mount(const char *type, const char *where)
{
	mkdir(where, 0755);
	if (mount(type, where, type, 0, NULL) && errno != EBUSY)
		complain(where);
}

static void set_up(void)
{
	static const char * const standard_links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};
	size_t i;

	try_mount("proc", "/proc");
	try_mount("sysfs", "/sys");
	try_mount("debugfs", "/sys/kernel/debug");
	if (!access("/sys/kernel/security", F_OK))
		try_mount("securityfs", "/sys/kernel/security");
	try_mount("devtmpfs", "/dev");
	try_mount("devpts", "/dev/pts");
	try_mount("tmpfs", "/dev/shm");
	try_mount("tmpfs", "/tmp");
	mkdir(RESULTS, 0755);
	for (i = 0; i < sizeof(standard_links) / sizeof(*standard_links); i++)
		symlink(standard_links[i][0], standard_links[i][1]);

	setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:/", 1);
	setenv("HOME", "/", 1);
	setenv("TMPDIR", "/tmp", 1);
	if (chdir("/"))
		complain("/");
}

/* Write 1 to a file, if there is one */
static void write_1(const char *path)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	/* EINVAL: there is nothing to check */
	if (write(fd, "1", 1) != 1 && errno != EINVAL)
		complain(path);
	close(fd);
}

/*
 * Kill what the command has left running, and have the kernel check freed
 * memory: the objects of each cache that may hold them, if they are poisoned.
 */
static void check_memory(void)
{
	struct dirent **list;
	char path[PATH_MAX];
	int i, n;

	kill(-1, SIGKILL);
	while (wait(NULL) > 0)
		;
	/* For what is freed after an RCU grace period */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);

	n = scandir("/sys/kernel/slab", &list, NULL, NULL);
	for (i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (strncmp(name, "kmalloc-", 8) && strncmp(name, "kvm", 3))
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/slab/%s/validate",
			 name);
		write_1(path);
	}
}

/* Has the kernel warned, oopsed, locked up or found bad memory? */
static void check_taint(void)
{
	static const unsigned long bad = 1 << TAINT_MACHINE_CHECK |
		1 << TAINT_BAD_PAGE | 1 << TAINT_DIE | 1 << TAINT_WARN |
		1 << TAINT_SOFTLOCKUP;
	FILE *f = fopen("/proc/sys/kernel/tainted", "r");
	unsigned long tainted;

	if (!f || fscanf(f, "%lu", &tainted) != 1)
		complain("/proc/sys/kernel/tainted");
	else if (tainted & bad)
		printf("init: the kernel is tainted: %lu\n", tainted);
	if (f)
		fclose(f);
}

/*
 * Load the files in /modules, in the order of their names.  A module that needs
 * something that this machine does not have is a failure like any other.
 */
static int load_modules(void)
{
	struct dirent **list;
	int i, fd, n, failed = 0;

	n = scandir(MODULES, &list, NULL, alphasort);
	for (i = 0; i < n; i++) {
		const char *name = list[i]->d_name;
		char path[PATH_MAX];

		if (name[0] == '.')
			continue;
		snprintf(path, sizeof(path), MODULES "/%s", name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) {
			complain(path);
			failed = 1;
		}
		close(fd);
	}
	return failed;
}

static void exec_command(int out)
{
	static char text[65536];
	char *argv[MAX_ARGS + 1];
	size_t n, pos, argc = 0;
	FILE *f = fopen("/command", "r");

	if (!f) {
		complain("/command");
		_exit(STATUS_NO_COMMAND);
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	for (pos = 0; pos < n && argc < MAX_ARGS; pos += strlen(text + pos) + 1)
		argv[argc++] = text + pos;
	argv[argc] = NULL;

	setsid();
	dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	execvp(argv[0], argv);
	dprintf(STDERR_FILENO, "init: %s: %s\n", argv[0], strerror(errno));
	_exit(STATUS_NO_COMMAND);
}

static void copy_output(int from, int log)
{
	char buf[4096];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n <= 0)
		return;
	if (write(log, buf, n) != n)
		complain(RESULTS "/output");
	in_line = buf[n - 1] != '\n';
	fwrite(buf, 1, n, stdout);
	fflush(stdout);
}

/*
 * Reap everything, as the first process must, until the command itself ends.
 * A background process that keeps the pipe open does not hold this up.
 */
static int run_command(void)
{
	struct pollfd out = { .events = POLLIN };
	int fds[2], log, status = 0;
	pid_t child, pid;

	log = open(RESULTS "/output", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		   0644);
	if (log < 0 || pipe2(fds, O_CLOEXEC)) {
		complain("can't capture the output");
		return STATUS_NO_COMMAND;
	}

	child = fork();
	if (!child)
		exec_command(fds[1]);
	close(fds[1]);

	out.fd = fds[0];
	for (;;) {
		if (poll(&out, 1, 50) > 0)
			copy_output(out.fd, log);
		if (out.revents & POLLHUP)
			out.fd = -1;
		pid = waitpid(-1, &status, WNOHANG);
		if (pid == child || (pid < 0 && errno == ECHILD))
			break;
	}
	while (poll(&out, 1, 0) > 0 && (out.revents & POLLIN))
		copy_output(out.fd, log);
	close(log);

	if (WIFSIGNALED(status)) {
		printf("init: the command was killed by signal %d\n",
		       WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	return WEXITSTATUS(status);
}

static void pad_archive(void)
{
	while (ftell(archive) % 4)
		putc(0, archive);
}

static void put_header(const char *name, mode_t mode, size_t size)
{
	fprintf(archive, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x",
		++archive_ino, mode, 0, 0, 1, 0, size, 0, 0, 0, 0);
	fprintf(archive, "%08zx%08x%s%c", strlen(name) + 1, 0, name, 0);
	pad_archive();
}

static int archive_one(const char *path, const struct stat *st, int type,
		       struct FTW *ftw)
{
	const char *name = path + strlen(RESULTS) + 1;
	char buf[65536];
	size_t n, left = st->st_size;
	FILE *f;

	if (!ftw->level)
		return 0;
	if (type == FTW_D) {
		put_header(name, S_IFDIR | 0755, 0);
		return 0;
	}
	if (type != FTW_F || !S_ISREG(st->st_mode))
		return 0;

	f = fopen(path, "r");
	if (!f) {
		complain(path);
		return 0;
	}
	put_header(name, S_IFREG | (st->st_mode & 0777), left);
	while (left) {
		n = fread(buf, 1, left < sizeof(buf) ? left : sizeof(buf), f);
		/* The file was truncated: keep the promise in the header. */
		if (!n) {
			memset(buf, 0, sizeof(buf));
			n = left < sizeof(buf) ? left : sizeof(buf);
		}
		fwrite(buf, 1, n, archive);
		left -= n;
	}
	fclose(f);
	pad_archive();
	return 0;
}

static void leave_results(int status)
{
	char sector[SECTOR] = "";
	long bytes;

	archive = fopen(DISK, "r+");
	if (!archive || fseek(archive, SECTOR, SEEK_SET)) {
		complain(DISK);
		return;
	}
	nftw(RESULTS, archive_one, 16, FTW_PHYS);
	put_header("TRAILER!!!", 0, 0);
	bytes = ftell(archive) - SECTOR;
	if (fflush(archive) || ferror(archive) || fsync(fileno(archive))) {
		complain(DISK);
		return;
	}

	snprintf(sector, sizeof(sector), "results %d %ld\n", status, bytes);
	rewind(archive);
	fwrite(sector, 1, sizeof(sector), archive);
	if (fflush(archive) || fsync(fileno(archive)))
		complain(DISK);
	fclose(archive);
}

int main(void)
{
	int status;

	set_up();
	status = load_modules() ? STATUS_NO_MODULE : 0;
	printf("init: command starts\n");
	fflush(stdout);
	if (!status)
		status = run_command();
	printf("%sinit: command ended with %d\n", in_line ? "\n" : "", status);
	fflush(stdout);
	check_memory();
	check_taint();
	leave_results(status);
	fflush(stdout);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
