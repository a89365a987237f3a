// SPDX-License-Identifier: Apache-2.0
// The machine that the node runs on: versions, limits, processes, memory, disks. See bundle.h.
#include "cli/bundle.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SMALL_FILE_MAX (64u << 10)
#define MAPS_BYTES_MAX (4u << 20)
#define PACKAGES_BYTES_MAX (32u << 20)

// A small file after a line with its name; one that is not there is left out.
static void put_file(const char *path, bool follow, struct buf *out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, SMALL_FILE_MAX);
    if (bundle_read_end(path, SMALL_FILE_MAX, follow, &text) || !text.n)
        return;
    buf_printf(out, "--- %s\n%s", path, buf_cstr(&text));
    if (text.p[text.n - 1] != '\n')
        buf_str(out, "\n");
}

// ---- versions ----

// Names of the libraries that a process has mapped.
static void put_libraries(const char *pid, struct buf *out)
{
    char path[64], *save = NULL;
    AUTO_BUF struct buf maps;
    const char *last = "";
    snprintf(path, sizeof path, "/proc/%s/maps", pid);
    buf_init(&maps, MAPS_BYTES_MAX);
    if (bundle_read_end(path, MAPS_BYTES_MAX, false, &maps) || !maps.n)
        return;
    buf_printf(out, "--- libraries of process %s\n", pid);
    for (char *line = strtok_r(maps.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *file = strchr(line, '/');
        if (!file || !strstr(file, ".so") || !strcmp(file, last))
            continue;
        last = file;
        buf_printf(out, "%s\n", file);
    }
}

static bool is_ours(const char *package)
{
    static const char *const begins[] = {"meridian",     "nginx",     "libssl",     "libcurl",
                                         "libmicrohttp", "libsqlite", "libjansson", "libyaml",
                                         "libldns",      "libfstrm",  "libseccomp", "libmaxminddb",
                                         "libcrypt",     "libc6",     "zlib1g",     "systemd"};
    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (!strncmp(package, begins[i], strlen(begins[i])))
            return true;
    return false;
}

// Of dpkg's list: name and version of what Meridian stands on.
static void put_packages(struct buf *out)
{
    static const char path[] = "/var/lib/dpkg/status";
    AUTO_BUF struct buf list;
    const char *name = "";
    char *save = NULL;
    buf_init(&list, PACKAGES_BYTES_MAX);
    if (bundle_read_end(path, PACKAGES_BYTES_MAX, false, &list) || !list.n)
        return;
    buf_printf(out, "--- packages (%s)\n", path);
    for (char *line = strtok_r(list.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "Package: ", 9))
            name = line + 9;
        else if (!strncmp(line, "Version: ", 9) && is_ours(name))
            buf_printf(out, "%s %s\n", name, line + 9);
    }
}

static void versions(struct bundle *b, const char *pid)
{
    AUTO_BUF struct buf out;
    struct utsname u;
    const char *running = json_string_value(json_object_get(b->status, "version"));
    buf_init(&out, BUNDLE_PART_MAX);
    buf_printf(&out, "meridian %s (this program)\nmeridiand %s (running)\n", MERIDIAN_VERSION,
               running ? running : "-");
    if (b->from_afar) {
        bundle_add_buf(b, "versions.txt", "releases of the programs", &out);
        return;
    }
    if (!uname(&u))
        buf_printf(&out, "%s %s %s %s\n", u.sysname, u.release, u.version, u.machine);
    put_file("/etc/os-release", true, &out);
    if (b->node) {
        const char *const nginx[] = {b->node->nginx, "-v", NULL};
        size_t begin = out.n;
        buf_printf(&out, "--- %s -v\n", b->node->nginx);
        int rc = bundle_run(nginx, out.n + SMALL_FILE_MAX, &out);
        if (rc) {
            out.n = begin;
            bundle_lacks(b, "versions.txt", "%s -v: %s", b->node->nginx, err_text(rc));
        }
    }
    put_libraries("self", &out);
    if (pid)
        put_libraries(pid, &out);
    put_packages(&out);
    bundle_add_buf(b, "versions.txt", "programs, kernel, system, libraries, packages", &out);
}

// ---- processes ----

static size_t open_files(const char *pid)
{
    char path[64];
    size_t n = 0;
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *dir = opendir(path);
    if (!dir)
        return 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    if (n < 2)
        return 0;
    return n - 2;
}

// Those lines of /proc/PID/status that say how it is. *out_parent: its parent's pid, "" unknown.
static void put_status(const char *pid, struct buf *out, char out_parent[24])
{
    static const char *const keys[] = {
        "Name:",  "State:",   "PPid:",   "FDSize:",  "VmPeak:",  "VmSize:",    "VmHWM:",
        "VmRSS:", "RssAnon:", "VmSwap:", "Threads:", "Seccomp:", "NoNewPrivs:"};
    char path[64], *save = NULL;
    AUTO_BUF struct buf text;
    out_parent[0] = 0;
    snprintf(path, sizeof path, "/proc/%s/status", pid);
    buf_init(&text, SMALL_FILE_MAX);
    if (bundle_read_end(path, SMALL_FILE_MAX, false, &text) || !text.n)
        return;
    for (char *line = strtok_r(text.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strncmp(line, "PPid:", 5))
            snprintf(out_parent, 24, "%s", line + 5 + strspn(line + 5, " \t"));
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            if (!strncmp(line, keys[i], strlen(keys[i])))
                buf_printf(out, "%s\n", line);
    }
}

// Limits of the control group, version 2.
static void put_group(const char *pid, struct buf *out)
{
    static const char *const files[] = {"memory.max", "memory.high", "memory.current",
                                        "cpu.max",    "pids.max",    "pids.current"};
    char path[4096], *group;
    AUTO_BUF struct buf text;
    snprintf(path, sizeof path, "/proc/%s/cgroup", pid);
    buf_init(&text, SMALL_FILE_MAX);
    if (bundle_read_end(path, SMALL_FILE_MAX, false, &text))
        return;
    if (text.n < 3 || strncmp(text.p, "0::", 3) != 0)
        return;
    group = text.p + 3;
    group[strcspn(group, "\n")] = 0;
    if (strlen(group) > 2000 || strstr(group, ".."))
        return;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup%s/%s", group, files[i]);
        put_file(path, false, out);
    }
}

static void put_process(const char *what, const char *pid, struct buf *out, char out_parent[24])
{
    char path[64], program[1024];
    snprintf(path, sizeof path, "/proc/%s/exe", pid);
    ssize_t n = readlink(path, program, sizeof program - 1);
    program[n > 0 ? n : 0] = 0;
    buf_printf(out, "=== %s, process %s: %s\n", what, pid, program);
    put_status(pid, out, out_parent);
    buf_printf(out, "Open files: %zu\n", open_files(pid));
    snprintf(path, sizeof path, "/proc/%s/limits", pid);
    put_file(path, false, out);
}

static const char *pid_of(struct bundle *b, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) <= 1)
        return NULL;
    return arena_printf(&b->c->arena, "%lld", (long long)json_integer_value(v));
}

static void processes(struct bundle *b, const char *worker)
{
    AUTO_BUF struct buf out;
    char supervisor[24], other[24];
    const char *edge = pid_of(b, json_object_get(json_object_get(b->status, "edge"), "pid"));
    buf_init(&out, BUNDLE_PART_MAX);
    if (!worker) {
        bundle_lacks(b, "machine/processes.txt", "the node does not say which they are");
        return;
    }
    put_process("worker", worker, &out, supervisor);
    put_group(worker, &out);
    if (*supervisor)
        put_process("supervisor", supervisor, &out, other);
    if (edge)
        put_process("nginx", edge, &out, other);
    bundle_add_buf(b, "machine/processes.txt", "the daemon's processes and their limits", &out);
}

// ---- memory, limits, disks ----

static void memory(struct bundle *b)
{
    static const char *const files[] = {
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/pressure/cpu",
        "/proc/pressure/io",
        "/proc/pressure/memory",
        "/proc/sys/fs/file-nr",
        "/proc/sys/net/core/rmem_max",
        "/proc/sys/net/core/wmem_max",
        "/proc/sys/net/core/somaxconn",
        "/proc/sys/net/ipv4/ip_local_port_range",
        "/proc/sys/net/ipv6/conf/all/disable_ipv6",
        "/proc/sys/vm/overcommit_memory",
        "/proc/net/snmp",
    };
    static const char *const clocks[] = {[CLOCK_KERNEL_UNKNOWN] = "unknown",
                                         [CLOCK_KERNEL_SYNCHRONISED] = "synchronised",
                                         [CLOCK_KERNEL_UNSYNCHRONISED] = "not synchronised"};
    AUTO_BUF struct buf out;
    char now[CLOCK_TEXT_SIZE];
    buf_init(&out, BUNDLE_PART_MAX);
    buf_printf(&out, "clock: %s, %s\nprocessors: %ld\n", clock_format(clock_wall_ms(), now),
               clocks[clock_kernel_state()], sysconf(_SC_NPROCESSORS_ONLN));
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        put_file(files[i], false, &out);
    bundle_add_buf(b, "machine/limits.txt", "clock, memory, load and limits of the kernel", &out);
}

static void put_disk(const char *what, const char *path, struct buf *out)
{
    struct statvfs v;
    if (!path)
        return;
    if (statvfs(path, &v)) {
        buf_printf(out, "%-12s %s: %s\n", what, path, strerror(errno));
        return;
    }
    uint64_t block = v.f_frsize;
    buf_printf(out,
               "%-12s %s: %llu MiB in all, %llu free, %llu for others than root; %llu of %llu "
               "inodes free; %s\n",
               what, path, (unsigned long long)(v.f_blocks * block >> 20),
               (unsigned long long)(v.f_bfree * block >> 20),
               (unsigned long long)(v.f_bavail * block >> 20), (unsigned long long)v.f_ffree,
               (unsigned long long)v.f_files, v.f_flag & ST_RDONLY ? "read-only" : "writable");
}

static void disks(struct bundle *b)
{
    static const char *const below[] = {"store", "meta", "state", "log", "certs"};
    AUTO_BUF struct buf out;
    buf_init(&out, BUNDLE_PART_MAX);
    put_disk("data_dir", b->node->data_dir, &out);
    for (size_t i = 0; i < ARRAY_LEN(below); i++)
        put_disk(below[i], arena_printf(&b->c->arena, "%s/%s", b->node->data_dir, below[i]), &out);
    put_disk("runtime_dir", b->node->runtime_dir, &out);
    put_disk("/tmp", "/tmp", &out);
    bundle_add_buf(b, "machine/disks.txt", "space where the node keeps its files", &out);
}

void bundle_machine(struct bundle *b)
{
    const char *worker = pid_of(b, json_object_get(b->status, "pid"));
    if (b->from_afar)
        worker = NULL;
    versions(b, worker);
    if (b->from_afar) {
        bundle_lacks(b, "machine", "the node is on another machine: run this there");
        return;
    }
    processes(b, worker);
    memory(b);
    if (b->node)
        disks(b);
    else
        bundle_lacks(b, "machine/disks.txt",
                     "without settings nobody knows where the node keeps its "
                     "files");
}
