// SPDX-License-Identifier: Apache-2.0
// A load generator lighter than the servers it drives: packed queries, a window in flight on one
// connected socket, one JSON line at the end.
//
//   dns_blast -p PORT -d QUERIES -l SECONDS [-w WINDOW] [-b BATCH] [-Q MAX_QPS] [-e | -D] [-s]
#include "bench/dns/queries.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCH 128
#define MAX_WINDOW 16384
#define N_BUCKETS 2048 // 32 to an octave of nanoseconds
#define LOST_NS 1000000000ull
#define DRAIN_NS 300000000ull

struct blast {
    int fd, window, batch;
    double rate;
    bool sleeps;
    struct queries queries;
    uint64_t cursor, sent, got, lost, late, bytes, rcode[16], truncated;
    // 0: the slot is free
    uint64_t sent_at[MAX_WINDOW];
    uint16_t free_slots[MAX_WINDOW];
    int n_free;
    uint64_t hist[N_BUCKETS];
};

static struct blast b = {.window = 160, .batch = 32};
static uint8_t out_bytes[MAX_BATCH][QUERY_MAX], in_bytes[MAX_BATCH][4096];
static struct mmsghdr out[MAX_BATCH], in[MAX_BATCH];
static struct iovec out_iov[MAX_BATCH], in_iov[MAX_BATCH];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int bucket_of(uint64_t ns)
{
    if (ns < 32)
        return (int)ns;
    int msb = 63 - __builtin_clzll(ns), at = (msb - 4) * 32 + (int)((ns >> (msb - 5)) & 31);
    return at < N_BUCKETS ? at : N_BUCKETS - 1;
}

static double bucket_us(int at)
{
    if (at < 32)
        return at / 1000.0;
    int msb = at / 32 + 4;
    return (double)((1ull << msb) + ((uint64_t)(at & 31) << (msb - 5))) / 1000.0;
}

static double percentile_us(double p)
{
    uint64_t sum = 0;
    for (int i = 0; i < N_BUCKETS; i++)
        if ((sum += b.hist[i]) > p * (double)b.got)
            return bucket_us(i);
    return 0;
}

static int room(uint64_t t, uint64_t began)
{
    int want = b.n_free < b.batch ? b.n_free : b.batch;
    if (b.rate > 0) {
        double due = (double)(t - began) * b.rate / 1e9 - (double)b.sent;
        return due < 0 ? 0 : due < want ? (int)due : want;
    }
    // Full batches, unless the pipe runs dry.
    return want < b.batch && b.n_free < b.window / 2 ? 0 : want;
}

static int send_some(int want)
{
    for (int i = 0; i < want; i++) {
        const struct query *q = &b.queries.q[(b.cursor + (uint64_t)i) % b.queries.n];
        uint16_t id = b.free_slots[b.n_free - 1 - i];
        memcpy(out_bytes[i], b.queries.bytes + q->at, q->n);
        out_bytes[i][0] = (uint8_t)(id >> 8);
        out_bytes[i][1] = (uint8_t)id;
        out_iov[i].iov_len = q->n;
    }
    int k = want ? sendmmsg(b.fd, out, (unsigned)want, 0) : 0;
    uint64_t t = now_ns();
    for (int i = 0; i < k; i++)
        b.sent_at[b.free_slots[--b.n_free]] = t;
    if (k > 0) {
        b.cursor += (uint64_t)k;
        b.sent += (uint64_t)k;
    }
    return k > 0;
}

static int receive_some(void)
{
    int r = recvmmsg(b.fd, in, MAX_BATCH, MSG_DONTWAIT, NULL);
    uint64_t t = now_ns();
    for (int i = 0; i < r; i++) {
        unsigned id = (unsigned)(in_bytes[i][0] << 8 | in_bytes[i][1]);
        if (in[i].msg_len < 12 || id >= (unsigned)b.window || !b.sent_at[id]) {
            b.late++;
            continue;
        }
        b.hist[bucket_of(t - b.sent_at[id])]++;
        b.sent_at[id] = 0;
        b.free_slots[b.n_free++] = (uint16_t)id;
        b.got++;
        b.bytes += in[i].msg_len;
        b.rcode[in_bytes[i][3] & 15]++;
        b.truncated += in_bytes[i][2] >> 1 & 1;
    }
    return r > 0;
}

static void forget_lost(uint64_t t)
{
    for (int i = 0; i < b.window; i++)
        if (b.sent_at[i] && t - b.sent_at[i] > LOST_NS) {
            b.sent_at[i] = 0;
            b.free_slots[b.n_free++] = (uint16_t)i;
            b.lost++;
        }
}

static void run(double seconds)
{
    uint64_t began = now_ns(), end = began + (uint64_t)(seconds * 1e9), looked = began, t = began;
    while (t < end + DRAIN_NS && (t < end || b.n_free < b.window)) {
        int moved = t < end ? send_some(room(t, began)) : 0;
        moved |= receive_some();
        t = now_ns();
        if (t - looked > LOST_NS / 10) {
            looked = t;
            forget_lost(t);
        }
        // It does not sleep unless told to: to wake it would be the server's work, in the middle of
        // its sends.
        if (!moved && b.sleeps)
            poll(&(struct pollfd){b.fd, POLLIN, 0}, 1, 1);
    }
    for (int i = 0; i < b.window; i++)
        b.lost += b.sent_at[i] != 0;
}

static void open_socket(int port)
{
    int bytes = 8 << 20;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    b.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(b.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(b.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (b.fd < 0 || connect(b.fd, (struct sockaddr *)&a, sizeof a)) {
        perror("dns_blast");
        exit(1);
    }
    for (int i = 0; i < MAX_BATCH; i++) {
        out_iov[i] = (struct iovec){out_bytes[i], 0};
        in_iov[i] = (struct iovec){in_bytes[i], sizeof in_bytes[i]};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_iov[i], .msg_iovlen = 1};
        in[i].msg_hdr = (struct msghdr){.msg_iov = &in_iov[i], .msg_iovlen = 1};
    }
}

int main(int argc, char **argv)
{
    int port = 0, c;
    enum query_edns edns = QUERY_PLAIN;
    double seconds = 3;
    const char *path = NULL;
    while ((c = getopt(argc, argv, "p:d:l:w:b:Q:eDs")) != -1)
        switch (c) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'd':
            path = optarg;
            break;
        case 'l':
            seconds = atof(optarg);
            break;
        case 'w':
            b.window = atoi(optarg);
            break;
        case 'b':
            b.batch = atoi(optarg);
            break;
        case 'Q':
            b.rate = atof(optarg);
            break;
        case 's': // on a core that the server has to itself too
            b.sleeps = true;
            break;
        case 'e':
            edns = QUERY_EDNS;
            break;
        case 'D': // and DO
            edns = QUERY_DO;
            break;
        default:
            return 2;
        }
    if (!path || b.window < 1 || b.window > MAX_WINDOW || b.batch < 1 || b.batch > MAX_BATCH) {
        fprintf(stderr, "usage: dns_blast -p PORT -d QUERIES -l SECONDS [-w WINDOW] [-b BATCH] [-Q "
                        "MAX_QPS] [-e | -D] [-s]\n");
        return 2;
    }
    queries_read(&b.queries, path, edns);
    open_socket(port);
    for (int i = 0; i < b.window; i++)
        b.free_slots[b.n_free++] = (uint16_t)(b.window - 1 - i);
    run(seconds);
    printf("{\"qps\": %.0f, \"got\": %lu, \"lost\": %lu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
           "\"p999_us\": %.1f, "
           "\"most_us\": %.1f, \"bytes\": %.1f, \"truncated\": %lu, \"noerror\": %lu, "
           "\"nxdomain\": %lu, \"servfail\": "
           "%lu, \"refused\": "
           "%lu}\n",
           (double)b.got / seconds, b.got, b.lost, percentile_us(0.5), percentile_us(0.99),
           percentile_us(0.999), b.got ? percentile_us(((double)b.got - 0.5) / (double)b.got) : 0,
           b.got ? (double)b.bytes / (double)b.got : 0, b.truncated, b.rcode[0], b.rcode[3],
           b.rcode[2], b.rcode[5]);
    return 0;
}
