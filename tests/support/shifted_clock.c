// SPDX-License-Identifier: Apache-2.0
// A wall clock that a test shifts while the program runs; the monotonic clock stays the kernel's.
// The linker puts these functions in front of those of base/clock.c (--wrap), in meridiand_shifted
// only: the product has no such hook, and tests/checks/product.py looks that it has none.
//
// The environment's MERIDIAN_TEST_CLOCK names a file of two int64 in the machine's byte order:
// milliseconds to add to the wall clock, and what to say in the kernel's stead of its
// synchronisation (enum clock_kernel), or -1 for the kernel's own word. The file is mapped once,
// before main: what the test writes holds at once, whatever the sandbox and user, and after a
// restart too.
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct shift {
    _Atomic int64_t wall_ms;
    _Atomic int64_t kernel;
};
static struct shift *shift;

int64_t __real_clock_wall_ms(void);
int64_t __wrap_clock_wall_ms(void);
enum clock_kernel __real_clock_kernel_state(void);
enum clock_kernel __wrap_clock_kernel_state(void);

static void give_up(const char *path)
{
    fprintf(stderr, "MERIDIAN_TEST_CLOCK: %s: %s\n", path, strerror(errno));
    exit(99);
}

__attribute__((constructor)) static void shift_map(void)
{
    const char *path = getenv("MERIDIAN_TEST_CLOCK");
    if (!path)
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    // a shorter file would end in SIGBUS
    if (fd < 0 || lseek(fd, 0, SEEK_END) < (off_t)sizeof *shift)
        give_up(path);
    void *p = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        give_up(path);
    close(fd);
    shift = p;
}

int64_t __wrap_clock_wall_ms(void)
{
    int64_t now = __real_clock_wall_ms();
    return shift ? now + atomic_load(&shift->wall_ms) : now;
}

enum clock_kernel __wrap_clock_kernel_state(void)
{
    int64_t say = shift ? atomic_load(&shift->kernel) : -1;
    return say < 0 ? __real_clock_kernel_state() : (enum clock_kernel)say;
}
