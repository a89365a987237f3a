// SPDX-License-Identifier: Apache-2.0
// IP addresses, socket addresses and prefixes in one fixed form: 16 bytes, IPv4 as IPv4-mapped IPv6
// (RFC 4291 section 2.5.5.2), so that comparing and matching need no case for the family.
#ifndef MERIDIAN_BASE_ADDR_H
#define MERIDIAN_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ip {
    uint8_t b[16];
};

struct cidr { // host bits are zero
    struct ip ip;
    // 0..128, in the mapped form: an IPv4 /24 is 120
    uint8_t bits;
};

struct endpoint { // where to listen or connect
    struct ip ip;
    uint16_t port;
};

#define IP_TEXT_SIZE 46
#define CIDR_TEXT_SIZE 50
#define ENDPOINT_TEXT_SIZE 56

bool ip_is_v4(const struct ip *ip);
bool ip_equal(const struct ip *a, const struct ip *b);
int ip_parse(const char *text, struct ip *out); // "192.0.2.1", "2001:db8::1"; no zone, no brackets
const char *ip_format(const struct ip *ip, char buf[IP_TEXT_SIZE]);
// "10.0.0.0/8", or a bare address; ERR_INVAL if host bits are set
int cidr_parse(const char *text, struct cidr *out);
const char *cidr_format(const struct cidr *c, char buf[CIDR_TEXT_SIZE]);
bool cidr_contains(const struct cidr *c, const struct ip *ip);
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);
// A list made ready for cidr_set_contains: sorted, without what another one holds. Returns how many
// are left.
size_t cidr_set_make(struct cidr *list, size_t n);
bool cidr_set_contains(const struct cidr *set, size_t n, const struct ip *ip); // by bisection
// Bits of the block around `ip` from which no client comes over the Internet: private, shared,
// loopback, link-local, multicast, reserved (RFC 6890 and its registry); of IPv6 all outside of
// 2000::/3. 0: global unicast. Networks for documentation count as that: nobody's clients are
// there, and tests are.
uint8_t ip_special_bits(const struct ip *ip, bool v4);
// "1.2.3.4:53", "[::1]:53", bare address
int endpoint_parse(const char *text, uint16_t default_port, struct endpoint *out);
const char *endpoint_format(const struct endpoint *e, char buf[ENDPOINT_TEXT_SIZE]);
// AF_INET for mapped ones
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out);
int endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t n, struct endpoint *out);

#endif
