// SPDX-License-Identifier: Apache-2.0
// daemon/sandbox: what a worker needs works inside, and what an intruder would want is refused.
// Each case enters in a child of its own.
#include "daemon/sandbox.h"

#include "base/clock.h"
#include "tests/support/check_main.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <unistd.h>

// Runs `inside` in a child under the sandbox; what it says goes to `said`. Returns its wait status.
static int within(int (*enter)(struct diag *), int (*inside)(void), char said[4096])
{
    int fds[2], status;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct diag d;
        dup2(fds[1], 2);
        close(fds[0]);
        close(fds[1]);
        diag_init(&d);
        if (enter(&d)) {
            diag_print(&d, stderr);
            _exit(99);
        }
        _exit(inside());
    }
    close(fds[1]);
    size_t n = 0;
    ssize_t got;
    while ((got = read(fds[0], said + n, 4095 - n)) > 0)
        n += (size_t)got;
    said[n] = 0;
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

#define FAIL_UNLESS(number, x) \
    do {                       \
        if (!(x))              \
            return number;     \
    } while (0)

static void *thread(void *arg)
{
    prctl(PR_SET_NAME, "inside");
    return setpriority(PRIO_PROCESS, 0, 19) ? NULL : arg; // a thread may step back
}

static int ordinary(void)
{
    char path[] = "/tmp/meridian-sandbox.XXXXXX", b[4];
    pthread_t t;
    void *got = NULL;
    int fd = mkstemp(path);
    FAIL_UNLESS(1, fd >= 0 && write(fd, "abc", 3) == 3 && !fsync(fd) && pread(fd, b, 3, 0) == 3);
    FAIL_UNLESS(2, !unlink(path) && !close(fd));
    FAIL_UNLESS(3,
                !pthread_create(&t, NULL, thread, path) && !pthread_join(t, &got) && got == path);
    FAIL_UNLESS(4, mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
                       MAP_FAILED);
    int types[] = {SOCK_STREAM, SOCK_DGRAM}, domains[] = {AF_INET, AF_INET6, AF_UNIX};
    for (int i = 0; i < 6; i++) {
        fd = socket(domains[i % 3], types[i % 2] | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        FAIL_UNLESS(5, fd >= 0 || errno == EAFNOSUPPORT);
        close(fd);
        if (domains[i % 3] == AF_UNIX)
            continue;
        fd = socket(domains[i % 3], types[i % 2] | SOCK_CLOEXEC, i % 2 ? IPPROTO_UDP : IPPROTO_TCP);
        FAIL_UNLESS(8, fd >= 0 || errno == EAFNOSUPPORT);
        close(fd);
    }
    struct addrinfo *a = NULL, hints = {.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM};
    FAIL_UNLESS(6, !getaddrinfo("localhost", "443", &hints, &a) || !a);
    FAIL_UNLESS(7, access("/proc/self/statm", R_OK) == 0);
    FAIL_UNLESS(9, clock_kernel_state() != CLOCK_KERNEL_UNKNOWN);
    return 0;
}

START_TEST(what_a_worker_needs_works)
{
    char said[4096];
    int status = within(sandbox_worker, ordinary, said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x: %s", (unsigned)status,
                  said);
    if (sandbox_built())
        ck_assert_str_eq(said, "");
}
END_TEST

#define REFUSED(number, call)                      \
    do {                                           \
        errno = 0;                                 \
        FAIL_UNLESS(number, (call) == -1);         \
        FAIL_UNLESS(number + 100, errno == EPERM); \
    } while (0)

static int hostile(void)
{
    char *const argv[] = {(char *)(uintptr_t) "/bin/true", NULL};
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REFUSED(1, execv("/bin/true", argv));
    REFUSED(2, ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    REFUSED(3, mount("none", "/mnt", "tmpfs", 0, NULL));
    REFUSED(4, socket(AF_PACKET, SOCK_RAW, 0));
    REFUSED(5, socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    REFUSED(6, socket(AF_NETLINK, SOCK_RAW, 12));
    REFUSED(7, (int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
    REFUSED(8, fork());
    REFUSED(9, kill(getppid(), SIGTERM));
    REFUSED(10, unshare(CLONE_NEWUSER));
    REFUSED(11, setuid(0));
    REFUSED(12, mprotect(page, 4096, PROT_READ | PROT_EXEC));
    REFUSED(13, mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                        MAP_FAILED
                    ? -1
                    : 0);
    REFUSED(14, prctl(PR_SET_DUMPABLE, 1));
    REFUSED(15, (int)syscall(SYS_bpf, 0, NULL, 0));
    REFUSED(16, (int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
    REFUSED(17, (int)syscall(SYS_io_uring_setup, 1, NULL));
    REFUSED(18, chroot("/"));
    REFUSED(19, (int)syscall(SYS_keyctl, 0, 0, 0, 0, 0));
    REFUSED(20, (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0));
    REFUSED(22, setpriority(PRIO_PROCESS, getppid(), 19));
    REFUSED(23, socket(AF_INET, SOCK_STREAM, 132 /* SCTP */));
    REFUSED(24, socket(AF_INET6, SOCK_STREAM, 262 /* MPTCP */));
    REFUSED(25, socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP));
    struct timex tick = {.modes = 0};
    FAIL_UNLESS(27, adjtimex(&tick) >= 0);
    tick.modes = ADJ_TICK; // to what it is
    REFUSED(26, adjtimex(&tick));
    FAIL_UNLESS(21, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && prctl(PR_GET_DUMPABLE) == 0);
    return 0;
}

START_TEST(what_an_intruder_wants_is_refused_and_logged)
{
    char said[4096];
    if (!sandbox_built())
        return;
    int status = within(sandbox_worker, hostile, said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x: %s", (unsigned)status,
                  said);
    ck_assert_ptr_nonnull(strstr(said, "sandbox: the system call execve was refused"));
    ck_assert_ptr_nonnull(strstr(said, "sandbox: the system call ptrace was refused"));
    const char *first = strstr(said, "call socket was refused"); // three times, said once
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(first + 1, "call socket was refused"));
}
END_TEST

static int supervises(void)
{
    struct diag d;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(9);
    }
    FAIL_UNLESS(1,
                waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    REFUSED(2, ptrace(PTRACE_ATTACH, getppid(), NULL, NULL));
    REFUSED(3, mount("none", "/mnt", "tmpfs", 0, NULL));
    REFUSED(4, unshare(CLONE_NEWNS));
    REFUSED(5, socket(AF_PACKET, SOCK_RAW, 0));
    REFUSED(6, (int)syscall(SYS_init_module, NULL, 0, ""));
    diag_init(&d);
    FAIL_UNLESS(7, sandbox_supervisor(&d) == 0); // a second time
    static const unsigned long spaces[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET,
                                           CLONE_NEWUSER | CLONE_NEWPID};
    for (size_t i = 0; i < 4; i++)
        REFUSED(8, (int)syscall(SYS_clone, spaces[i] | SIGCHLD, NULL, NULL, NULL, NULL));
    struct rlimit core;
    FAIL_UNLESS(9,
                prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    FAIL_UNLESS(10, !getrlimit(RLIMIT_CORE, &core) && core.rlim_max == 0);
    return 0;
}

// Buffers of the first sockets may exceed what the system gives to all; after them the right to
// that is gone.
static int opens_sockets(void)
{
    struct diag d;
    diag_init(&d);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), n = 1 << 20;
    FAIL_UNLESS(1, fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof n) == 0);
    FAIL_UNLESS(2, sandbox_sockets_open(&d) == 0);
    REFUSED(3, setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof n));
    return 0;
}

static uint64_t permitted(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    return syscall(SYS_capget, &head, data) ? UINT64_MAX
                                            : data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int becomes_nginx(void)
{
    const uint64_t keeps =
        1u << CAP_NET_BIND_SERVICE | 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;
    FAIL_UNLESS(1, sandbox_nginx() == 0 && permitted() == keeps);
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        FAIL_UNLESS(2, prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == (int)(keeps >> cap & 1));
    return 0;
}

START_TEST(privileges_go_when_they_are_not_needed_any_more)
{
    char said[4096];
    if (!sandbox_built() || geteuid() != 0)
        return;
    int (*const inside[])(void) = {opens_sockets, becomes_nginx};
    for (size_t i = 0; i < 2; i++) {
        int status = within(sandbox_supervisor, inside[i], said);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%zu: status %x: %s", i,
                      (unsigned)status, said);
    }
}
END_TEST

static int reads_a_pipe(void)
{
    char b[4];
    int fds[2];
    struct timespec t;
    FAIL_UNLESS(1, write(2, "", 0) == 0 && !clock_gettime(CLOCK_MONOTONIC, &t));
    REFUSED(2, pipe(fds));
    REFUSED(3, open("/etc/passwd", O_RDONLY));
    REFUSED(4, socket(AF_UNIX, SOCK_STREAM, 0));
    REFUSED(5, fork());
    REFUSED(6, kill(getppid(), 0));
    FAIL_UNLESS(7, mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
                       MAP_FAILED);
    FAIL_UNLESS(8, read(-1, b, sizeof b) < 0 && errno == EBADF);
    return 0;
}

START_TEST(the_reader_of_a_log_reads_and_writes_only)
{
    char said[4096];
    if (!sandbox_built())
        return;
    int status = within(sandbox_log, reads_a_pipe, said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x: %s", (unsigned)status,
                  said);
    ck_assert_ptr_nonnull(strstr(said, "sandbox: the system call openat was refused"));
}
END_TEST

START_TEST(the_supervisor_can_start_programs_and_little_else)
{
    char said[4096];
    if (!sandbox_built())
        return;
    int status = within(sandbox_supervisor, supervises, said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x: %s", (unsigned)status,
                  said);
}
END_TEST

static int no_capability_left(void)
{
    sandbox_drop_bounding();
    for (unsigned long cap = 0; geteuid() == 0 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        FAIL_UNLESS(1, prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 0);
    return 0;
}

static int enter_nothing(struct diag *d)
{
    (void)d;
    return 0;
}

START_TEST(the_bounding_set_is_empty)
{
    char said[4096];
    int status = within(enter_nothing, no_capability_left, said);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x: %s", (unsigned)status,
                  said);
}
END_TEST

CHECK_MAIN("daemon/sandbox", what_a_worker_needs_works,
           what_an_intruder_wants_is_refused_and_logged,
           the_supervisor_can_start_programs_and_little_else,
           privileges_go_when_they_are_not_needed_any_more,
           the_reader_of_a_log_reads_and_writes_only, the_bounding_set_is_empty)
