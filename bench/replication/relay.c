// SPDX-License-Identifier: Apache-2.0
// A line with delay and rate between two network namespaces, for kernels without netem:
//
//   replication_relay NETNS_A DEVICE_A NETNS_B DEVICE_B DELAY_MS RATE_BITS
//
// It makes a tap device in each namespace (a path such as /run/netns/eastus; "-" is its own), writes
// "ready", and hands on frames until a signal ends it. Each way has the delay, and at most the rate;
// what would wait more than 100 ms for the rate is dropped, as a router's queue drops it. Segments
// that the kernel left whole (TSO) are handed on whole, so that the relay reaches 1 Gbit/s beside
// other work; the rate counts their bytes without the headers that they save.
//
// One thread for each way.
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (64 * 1024 + 256)
#define QUEUE_NS 100000000ll // of waiting for the rate

struct frame {
    struct frame *next;
    int64_t due_ns;
    size_t n;
    uint8_t bytes[];
};

struct way {
    int from, to;
    int64_t delay_ns;
    double ns_per_byte;
    // when the line has sent what it has
    int64_t free_ns;
    struct frame *first, **last;
};

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

// A tap device in the namespace in which this thread is.
static int tap_new(const char *name)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        fail("/dev/net/tun");
    snprintf(r.ifr_name, sizeof r.ifr_name, "%s", name);
    if (ioctl(fd, TUNSETIFF, &r))
        fail(name);
    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
        fail("offload");
    return fd;
}

static int tap_in(const char *netns, const char *name)
{
    if (strcmp(netns, "-") == 0)
        return tap_new(name);
    int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int other = open(netns, O_RDONLY | O_CLOEXEC);
    if (own < 0 || other < 0 || setns(other, CLONE_NEWNET))
        fail(netns);
    int fd = tap_new(name);
    if (setns(own, CLONE_NEWNET))
        fail("back");
    close(own);
    close(other);
    return fd;
}

static void frame_take(struct way *w, const uint8_t *bytes, size_t n)
{
    int64_t now = now_ns();
    int64_t begins = now;
    if (w->free_ns > now)
        begins = w->free_ns;
    if (begins - now > QUEUE_NS)
        return;
    struct frame *f = malloc(sizeof *f + n);
    if (!f)
        return;
    w->free_ns = begins + (int64_t)((double)n * w->ns_per_byte);
    f->next = NULL;
    f->due_ns = w->free_ns + w->delay_ns;
    f->n = n;
    memcpy(f->bytes, bytes, n);
    *w->last = f;
    w->last = &f->next;
}

// Until the device has no more. What cannot be read for a moment (its link is down) is no end.
static void frames_read(struct way *w)
{
    uint8_t bytes[FRAME_MAX];
    for (;;) {
        ssize_t n = read(w->from, bytes, sizeof bytes);
        if (n <= 0)
            return;
        frame_take(w, bytes, (size_t)n);
    }
}

static void frames_send(struct way *w)
{
    while (w->first && w->first->due_ns <= now_ns()) {
        struct frame *f = w->first;
        (void)!write(w->to, f->bytes, f->n); // a full or lowered device drops it
        w->first = f->next;
        if (!w->first)
            w->last = &w->first;
        free(f);
    }
}

static void *way_main(void *arg)
{
    struct way *w = arg;
    for (;;) {
        struct pollfd p = {.fd = w->from, .events = POLLIN};
        struct timespec wait, *until = NULL;
        if (w->first) {
            int64_t left = w->first->due_ns - now_ns();
            if (left < 0)
                left = 0;
            wait = (struct timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
            until = &wait;
        }
        if (ppoll(&p, 1, until, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (p.revents & POLLIN)
            frames_read(w);
        else if (p.revents) // the device is down: look again soon
            usleep(10000);
        frames_send(w);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s NETNS_A DEVICE_A NETNS_B DEVICE_B DELAY_MS RATE_BITS\n",
                argv[0]);
        return 2;
    }
    int a = tap_in(argv[1], argv[2]), b = tap_in(argv[3], argv[4]);
    struct way ways[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        ways[i].delay_ns = (int64_t)(atof(argv[5]) * 1e6);
        ways[i].ns_per_byte = 8e9 / atof(argv[6]);
        ways[i].last = &ways[i].first;
        if (pthread_create(&threads[i], NULL, way_main, &ways[i]))
            fail("thread");
    }
    puts("ready");
    fflush(stdout);
    pthread_join(threads[0], NULL);
    return 0;
}
