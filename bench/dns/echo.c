// SPDX-License-Identifier: Apache-2.0
// The cheapest thing that still looks like a DNS server: sends every datagram back with QR set,
// padded to the size of an answer. Its rate is the limit of machine and generator, not of DNS code.
//
//   dns_echo PORT ANSWER_BYTES
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH 32
#define PACKET_BYTES 2048

static uint8_t bytes[BATCH][PACKET_BYTES];
static struct mmsghdr m[BATCH];
static struct iovec iov[BATCH];
static struct sockaddr_in from[BATCH];

static void serve(int fd, size_t answer_bytes)
{
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], PACKET_BYTES};
        m[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                       .msg_namelen = sizeof from[i],
                                       .msg_iov = &iov[i],
                                       .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, m, BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
        bytes[i][2] |= 0x84;
        iov[i].iov_len = m[i].msg_len > answer_bytes ? m[i].msg_len : answer_bytes;
    }
    for (int done = 0; done < n;) {
        int k = sendmmsg(fd, m + done, (unsigned)(n - done), 0);
        done += k > 0 ? k : 1;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: dns_echo PORT ANSWER_BYTES\n");
        return 2;
    }
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(argv[1])),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t answer_bytes = (size_t)atoi(argv[2]);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || answer_bytes > PACKET_BYTES) {
        perror("dns_echo");
        return 1;
    }
    for (;;)
        serve(fd, answer_bytes);
}
