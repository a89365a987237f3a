// SPDX-License-Identifier: Apache-2.0
// Filters of system calls, and capabilities; see sandbox.h. The lists are by what the libraries of
// the worker use: glibc with threads and getaddrinfo, SQLite, libcurl, OpenSSL, libmicrohttpd,
// inotify.
#include "daemon/sandbox.h"

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

// Whatever their arguments.
static const char *const worker_calls[] = {
    // memory and threads
    "brk", "munmap", "mremap", "madvise", "msync", "mincore", "mlock", "mlock2", "munlock", "futex",
    "futex_waitv", "set_robust_list", "get_robust_list", "rseq", "set_tid_address", "gettid",
    "sched_yield", "sched_getaffinity", "getpriority", "membarrier", "exit", "exit_group",
    "restart_syscall",
    // signals to itself
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending", "rt_sigtimedwait",
    "sigaltstack", "signalfd4",
    // descriptors
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2",
    "pwritev2", "close", "close_range", "dup", "dup2", "dup3", "fcntl", "lseek", "pipe", "pipe2",
    "eventfd", "eventfd2", "poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "timerfd_create", "timerfd_settime",
    "timerfd_gettime", "sendfile", "copy_file_range", "splice",
    // files: which ones, the user decides
    "open", "openat", "openat2", "creat", "stat", "fstat", "lstat", "newfstatat", "fstatat64",
    "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents",
    "getdents64", "getcwd", "statfs", "fstatfs", "fsync", "fdatasync", "sync_file_range",
    "ftruncate", "truncate", "fallocate", "fadvise64", "readahead", "flock", "rename", "renameat",
    "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat",
    "rmdir", "fchmod", "fchmodat", "chmod", "fchown", "umask", "utimensat", "inotify_init",
    "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "memfd_create",
    // sockets, of the families below
    "connect", "bind", "listen", "accept", "accept4", "getsockname", "getpeername", "getsockopt",
    "setsockopt", "shutdown", "sendto", "recvfrom", "sendmsg", "recvmsg", "sendmmsg", "recvmmsg",
    // what it is and when
    "getpid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getgroups", "getresuid",
    "getresgid", "getpgrp", "getrusage", "getrlimit", "sysinfo", "uname", "times", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getcpu", "getrandom",
    // is the clock synchronised; to set it needs CAP_SYS_TIME, which neither worker nor supervisor
    // has
    "adjtimex", "clock_adjtime"};

// The reader of nginx's log has its descriptors already.
static const char *const log_calls[] = {
    "read",         "write",        "poll", "ppoll",      "clock_gettime",  "clock_nanosleep",
    "gettimeofday", "rt_sigreturn", "exit", "exit_group", "restart_syscall"};

// What neither supervisor nor nginx ever needs, though root may.
static const char *const supervisor_refused[] = {"ptrace",
                                                 "process_vm_readv",
                                                 "process_vm_writev",
                                                 "kcmp",
                                                 "pidfd_getfd",
                                                 "process_madvise",
                                                 "mount",
                                                 "umount2",
                                                 "pivot_root",
                                                 "chroot",
                                                 "move_mount",
                                                 "fsopen",
                                                 "fsmount",
                                                 "fspick",
                                                 "open_tree",
                                                 "mount_setattr",
                                                 "init_module",
                                                 "finit_module",
                                                 "delete_module",
                                                 "kexec_load",
                                                 "kexec_file_load",
                                                 "reboot",
                                                 "swapon",
                                                 "swapoff",
                                                 "bpf",
                                                 "perf_event_open",
                                                 "userfaultfd",
                                                 "lookup_dcookie",
                                                 "open_by_handle_at",
                                                 "name_to_handle_at",
                                                 "add_key",
                                                 "request_key",
                                                 "keyctl",
                                                 "acct",
                                                 "quotactl",
                                                 "nfsservctl",
                                                 "vhangup",
                                                 "syslog",
                                                 "settimeofday",
                                                 "clock_settime",
                                                 "sethostname",
                                                 "setdomainname",
                                                 "iopl",
                                                 "ioperm",
                                                 "modify_ldt",
                                                 "personality",
                                                 "setns",
                                                 "unshare",
                                                 "mbind",
                                                 "set_mempolicy",
                                                 "migrate_pages",
                                                 "move_pages",
                                                 "uselib",
                                                 "ustat",
                                                 "sysfs",
                                                 "io_uring_setup",
                                                 "io_uring_enter",
                                                 "io_uring_register"};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
static const int prctls[] = {PR_SET_NAME,         PR_GET_NAME,     PR_GET_DUMPABLE, PR_GET_SECCOMP,
                             PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ, PR_SET_VMA};
static const unsigned long ioctls[] = {FIONBIO, FIONREAD, FIOCLEX, 0x5401 /* TCGETS: isatty */,
                                       0x8933 /* SIOCGIFINDEX */};

bool sandbox_built(void)
{
#ifdef SANITIZED
    return false;
#else
    return true;
#endif
}

// ---- what was refused ----

#define CALLS_MAX 512
static char names[CALLS_MAX][32];
static _Atomic bool told[CALLS_MAX];

static void learn_names(void)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
        snprintf(names[i], sizeof names[i], "%s", name ? name : "unknown");
        free(name);
    }
}

// In a signal handler: only write(2), and no memory but the stack's.
static void tell(int call)
{
    static const char before[] = "error daemon: sandbox: the system call ",
                      after[] = " was refused; see meridiand(8)\n";
    const char *name = "unknown";
    if (call >= 0 && call < CALLS_MAX)
        name = names[call];
    char line[sizeof before + sizeof after + sizeof names[0]];
    size_t n = sizeof before - 1, n_name = strlen(name);
    if (call >= 0 && call < CALLS_MAX && atomic_exchange(&told[call], true))
        return;
    memcpy(line, before, n);
    memcpy(line + n, name, n_name);
    memcpy(line + n + n_name, after, sizeof after - 1);
    (void)!write(2, line, n + n_name + sizeof after - 1);
}

// The kernel did not run the call; it returns what we put into its register.
static void on_refused(int sig, siginfo_t *si, void *context)
{
    int keep = errno;
    ucontext_t *u = context;
    (void)sig;
    tell(si->si_syscall);
#if defined(__x86_64__)
    u->uc_mcontext.gregs[REG_RAX] = -EPERM;
#elif defined(__aarch64__)
    u->uc_mcontext.regs[0] = (unsigned long)-EPERM;
#else
#error "say here how a system call's result is set on this processor"
#endif
    errno = keep;
}

static int catch_refused(void)
{
    struct sigaction sa = {.sa_sigaction = on_refused,
                           .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART};
    learn_names();
    if (sigaction(SIGSYS, &sa, NULL))
        return err_from_errno(errno);
    return 0;
}

// ---- filters ----

static int number_of(const char *name)
{
    return seccomp_syscall_resolve_name(name);
}

// A call that this kernel or processor does not have needs no rule.
static int allow(scmp_filter_ctx f, const char *name)
{
    int nr = number_of(name);
    if (nr < 0)
        return 0;
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, nr, 0);
}

static int allow_if(scmp_filter_ctx f, const char *name, struct scmp_arg_cmp arg)
{
    int nr = number_of(name);
    if (nr < 0)
        return 0;
    return seccomp_rule_add_array(f, SCMP_ACT_ALLOW, nr, 1, &arg);
}

static int allow_threads(scmp_filter_ctx f)
{
    // clone3's flags lie in memory, where no filter sees them: without it glibc takes clone.
    const scmp_datum_t thread = CLONE_VM | CLONE_THREAD;
    int nr = number_of("clone3");
    int rc = 0;
    if (nr >= 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
    if (rc)
        return rc;
    return allow_if(f, "clone", SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
}

static int allow_memory(scmp_filter_ctx f)
{
    const scmp_datum_t both = PROT_WRITE | PROT_EXEC, exec = PROT_EXEC;
    int rc = allow_if(f, "mprotect", SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
    // a library may be mapped, what was written may not be run
    const scmp_datum_t fine[] = {0, PROT_WRITE, PROT_EXEC};
    for (size_t i = 0; i < ARRAY_LEN(fine) && !rc; i++)
        rc = allow_if(f, "mmap", SCMP_A2(SCMP_CMP_MASKED_EQ, both, fine[i]));
    return rc;
}

static int allow_sockets(scmp_filter_ctx f)
{
    // The protocol, too: another one (SCTP, MPTCP, …) would load a module of the kernel that
    // nothing here needs.
    static const struct {
        int type, protocol;
    } kinds[] = {
        {SOCK_STREAM, 0}, {SOCK_DGRAM, 0}, {SOCK_STREAM, IPPROTO_TCP}, {SOCK_DGRAM, IPPROTO_UDP}};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(families) * ARRAY_LEN(kinds) && !rc; i++) {
        int family = families[i / ARRAY_LEN(kinds)],
            protocol = kinds[i % ARRAY_LEN(kinds)].protocol;
        const struct scmp_arg_cmp args[] = {
            SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)family),
            SCMP_A1(SCMP_CMP_MASKED_EQ, 15, (scmp_datum_t)kinds[i % ARRAY_LEN(kinds)].type),
            SCMP_A2(SCMP_CMP_EQ, (scmp_datum_t)protocol)};
        if (family != AF_UNIX || protocol == 0)
            rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3, args);
    }
    if (!rc) // getaddrinfo asks which addresses there are
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                              SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
                              SCMP_A2(SCMP_CMP_EQ, 0 /* NETLINK_ROUTE */));
    if (rc)
        return rc;
    return allow_if(f, "socketpair", SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
}

static int allow_by_argument(scmp_filter_ctx f)
{
    scmp_datum_t self = (scmp_datum_t)getpid();
    int rc = allow_threads(f);
    if (!rc)
        rc = allow_memory(f);
    if (!rc)
        rc = allow_sockets(f);
    for (size_t i = 0; i < ARRAY_LEN(prctls) && !rc; i++)
        rc = allow_if(f, "prctl", SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)prctls[i]));
    for (size_t i = 0; i < ARRAY_LEN(ioctls) && !rc; i++)
        rc = allow_if(f, "ioctl", SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
    if (!rc) // abort
        rc = allow_if(f, "tgkill", SCMP_A0(SCMP_CMP_EQ, self));
    if (!rc)
        rc = allow_if(f, "kill", SCMP_A0(SCMP_CMP_EQ, self));
    if (!rc) // a thread steps back; to step forward needs a capability
        rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setpriority), 2,
                              SCMP_A0(SCMP_CMP_EQ, PRIO_PROCESS), SCMP_A1(SCMP_CMP_EQ, 0));
    if (rc) // asked for, not set
        return rc;
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0),
                            SCMP_A2(SCMP_CMP_EQ, 0));
}

static int load(scmp_filter_ctx f, int rc, const char *whose, struct diag *diag)
{
    // A tree, so that a rare call costs no walk; the kernel keeps the common ones in a bitmap.
    (void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!rc)
        rc = seccomp_load(f);
    seccomp_release(f);
    if (!rc)
        return 0;
    diag_add(diag, NULL, 0,
             "sandbox: the filter of the %s cannot be set: %s; `sandbox: off` goes without", whose,
             strerror(-rc));
    return ERR_UNSUPPORTED;
}

// ---- capabilities ----

void sandbox_drop_bounding(void)
{
    for (unsigned long cap = 0; cap <= CAP_LAST_CAP; cap++)
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int set_capabilities(uint64_t keep)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    if (syscall(SYS_capget, &head, data))
        return err_from_errno(errno);
    for (int i = 0; i < 2; i++) {
        uint32_t mask = (uint32_t)(keep >> (32 * i));
        data[i].permitted &= mask;
        data[i].effective &= mask;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &head, data))
        return err_from_errno(errno);
    return 0;
}

// Without any capability, way to gain one, or core dump; then the calls of a list.
static int enter_allow_list(const char *const *calls, size_t n, int (*more)(scmp_filter_ctx),
                            const char *whose, struct diag *diag)
{
    if (!sandbox_built())
        return 0;
    int rc = set_capabilities(0);
    if (rc || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) {
        diag_add(diag, NULL, 0, "sandbox: privileges cannot be given up: %s", strerror(errno));
        return ERR_DENIED;
    }
    rc = catch_refused();
    scmp_filter_ctx f = NULL;
    if (!rc)
        f = seccomp_init(SCMP_ACT_TRAP);
    if (!f) {
        if (rc)
            return rc;
        return ERR_NOMEM;
    }
    for (size_t i = 0; i < n && !rc; i++)
        rc = allow(f, calls[i]);
    if (!rc && more)
        rc = more(f);
    return load(f, rc, whose, diag);
}

int sandbox_worker(struct diag *diag)
{
    if (!sandbox_built())
        log_warn("daemon: built with a sanitizer: no sandbox");
    return enter_allow_list(worker_calls, ARRAY_LEN(worker_calls), allow_by_argument, "worker",
                            diag);
}

int sandbox_log(struct diag *diag)
{
    return enter_allow_list(log_calls, ARRAY_LEN(log_calls), NULL, "reader of nginx's log", diag);
}

// For as long as the process lives, and beyond an exec.
static int keep_capabilities(uint64_t keep)
{
    for (unsigned long cap = 0; geteuid() == 0 && cap <= CAP_LAST_CAP; cap++)
        if (!(keep >> cap & 1))
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    return set_capabilities(keep);
}

#define CAP_BIT(cap) ((uint64_t)1 << (cap))
// Each with its reason in docs/security.md, "Privileges"; system `operation` 4 holds processes
// against the table there.
#define SUPERVISOR_KEEPS                                                                     \
    (CAP_BIT(CAP_NET_BIND_SERVICE) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) |             \
     CAP_BIT(CAP_SETPCAP) | CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | \
     CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_KILL) | CAP_BIT(CAP_SYS_ADMIN))
#define NGINX_KEEPS \
    (CAP_BIT(CAP_NET_BIND_SERVICE) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID) | CAP_BIT(CAP_KILL))

static int refuse_calls(scmp_filter_ctx f)
{
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(supervisor_refused) && !rc; i++) {
        int nr = number_of(supervisor_refused[i]);
        if (nr < 0)
            rc = 0;
        else
            rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
    }
    return rc;
}

// Namespaces but nginx's of processes: a user namespace would give its owner all capabilities
// inside.
static int refuse_namespaces(scmp_filter_ctx f)
{
    static const scmp_datum_t kinds[] = {CLONE_NEWNS,   CLONE_NEWUTS, CLONE_NEWIPC,
                                         CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWCGROUP};
    int nr = number_of("clone3"); // its flags lie in memory, where no filter sees them
    int rc = 0;
    if (nr >= 0)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), nr, 0);
    for (size_t i = 0; i < ARRAY_LEN(kinds) && !rc; i++)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, kinds[i], kinds[i]));
    return rc;
}

static int refuse_by_argument(scmp_filter_ctx f)
{
    int rc = refuse_namespaces(f);
    if (!rc) // packets past the network's rules
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1,
                              SCMP_A0(SCMP_CMP_EQ, AF_PACKET));
    // nginx's workers ask for core dumps, which would hold keys: they hear yes, and get none
    if (!rc)
        rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(0), SCMP_SYS(prctl), 2,
                              SCMP_A0(SCMP_CMP_EQ, PR_SET_DUMPABLE), SCMP_A1(SCMP_CMP_EQ, 1));
    return rc;
}

int sandbox_no_core_dumps(struct diag *diag)
{
    const struct rlimit none = {0, 0};
    if (!sandbox_built() || (!prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) && !setrlimit(RLIMIT_CORE, &none)))
        return 0;
    diag_add(diag, NULL, 0, "sandbox: core dumps cannot be given up: %s", strerror(errno));
    return err_from_errno(errno);
}

int sandbox_supervisor(struct diag *diag)
{
    int rc = sandbox_no_core_dumps(diag);
    if (rc || !sandbox_built() || prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2)
        return rc; // a sanitizer; or the process of before, under its filter already
    rc = keep_capabilities(SUPERVISOR_KEEPS | CAP_BIT(CAP_NET_ADMIN));
    if (rc) {
        diag_add(diag, NULL, 0, "sandbox: capabilities cannot be given up: %s", err_text(rc));
        return rc;
    }
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
    if (!f)
        return ERR_NOMEM;
    rc = refuse_calls(f);
    if (!rc)
        rc = refuse_by_argument(f);
    return load(f, rc, "supervisor", diag);
}

int sandbox_sockets_open(struct diag *diag)
{
    int rc = 0;
    if (sandbox_built())
        rc = keep_capabilities(SUPERVISOR_KEEPS);
    if (rc)
        diag_add(diag, NULL, 0, "sandbox: capabilities cannot be given up: %s", err_text(rc));
    return rc;
}

int sandbox_nginx(void)
{
    const struct rlimit none = {0, 0};
    int rc = 0;
    if (setrlimit(RLIMIT_CORE, &none))
        rc = err_from_errno(errno);
    if (rc)
        return rc;
    return keep_capabilities(NGINX_KEEPS);
}
