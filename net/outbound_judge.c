// SPDX-License-Identifier: Apache-2.0
// Which addresses a user may make us call: those of the Internet that are not ours, and what the
// operator allows; see outbound.h. The networks are those of the IANA registries of special-purpose
// addresses (RFC 6890), and a few more that lead inside. Any thread.
#include "net/outbound_priv.h"

#include <ifaddrs.h>
#include <string.h>
#include <strings.h>

struct network {
    // in the mapped form
    uint8_t prefix[16];
    uint8_t bits;
    const char *what;
};

#define V4(a, b, c, d, n, what_)                                                \
    {                                                                           \
        {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, 96 + (n), what_ \
    }
#define V6(a, b, c, n, what_)                                                                    \
    {                                                                                            \
        {(a) >> 8, (a)&0xff, (b) >> 8, (b)&0xff, (c) >> 8, (c)&0xff, 0, 0, 0, 0, 0, 0, 0, 0}, n, \
            what_                                                                                \
    }

// Addresses at which clouds hand out a machine's credentials. An entry of the allow-list opens one
// only when it names that very address.
static const struct network metadata[] = {
    V4(169, 254, 169, 254, 32, "a cloud's metadata service"),
    V4(169, 254, 169, 253, 32, "a cloud's metadata service"),
    V4(169, 254, 169, 123, 32, "a cloud's metadata service"),
    V4(169, 254, 170, 2, 32, "a cloud's metadata service"),
    V4(169, 254, 170, 23, 32, "a cloud's metadata service"),
    V4(100, 100, 100, 200, 32, "a cloud's metadata service"),
    V4(168, 63, 129, 16, 32, "a cloud's metadata service"),
    V4(192, 0, 0, 192, 32, "a cloud's metadata service"),
    {{0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128, "a cloud's metadata service"},
    {{0xfd, 0, 0x0e, 0xc2, [15] = 0x23}, 128, "a cloud's metadata service"},
    {{0xfd, 0x20, 0, 0xce, [14] = 0x02, 0x54}, 128, "a cloud's metadata service"},
    {{0xfe, 0x80, [12] = 0xa9, 0xfe, 0xa9, 0xfe}, 128, "a cloud's metadata service"},
};

static const struct network special[] = {
    V4(0, 0, 0, 0, 8, "the network 0.0.0.0/8"),
    V4(10, 0, 0, 0, 8, "a private network"),
    V4(100, 64, 0, 0, 10, "a carrier's shared network"),
    V4(127, 0, 0, 0, 8, "a loopback address"),
    V4(169, 254, 0, 0, 16, "a link-local address"),
    V4(172, 16, 0, 0, 12, "a private network"),
    V4(192, 0, 0, 0, 24, "a reserved network"),
    V4(192, 0, 2, 0, 24, "a network for documentation"),
    V4(192, 88, 99, 0, 24, "a reserved network"),
    V4(192, 168, 0, 0, 16, "a private network"),
    V4(198, 18, 0, 0, 15, "a network for measurements"),
    V4(198, 51, 100, 0, 24, "a network for documentation"),
    V4(203, 0, 113, 0, 24, "a network for documentation"),
    V4(224, 0, 0, 0, 4, "a multicast address"),
    V4(240, 0, 0, 0, 4, "a reserved network"),
    {{[15] = 1}, 128, "a loopback address"},
    V6(0xfc00, 0, 0, 7, "a unique local address"),
    V6(0xfe80, 0, 0, 10, "a link-local address"),
    V6(0xfec0, 0, 0, 10, "a site-local address"),
    V6(0xff00, 0, 0, 8, "a multicast address"),
    V6(0x2001, 0, 0, 32, "a Teredo address"),
    V6(0x2001, 0, 0, 23, "a reserved network"),
    V6(0x2001, 0x0db8, 0, 32, "a network for documentation"),
    V6(0x3fff, 0, 0, 20, "a network for documentation"),
};
static const struct network internet = V6(0x2000, 0, 0, 3, "the Internet");
static const struct network nat64 = V6(0x0064, 0xff9b, 0, 96, "NAT64"); // RFC 6052 section 2.1
static const struct network sixtofour = V6(0x2002, 0, 0, 16, "6to4");   // RFC 3056

static bool within(const struct network *n, const struct ip *ip)
{
    struct cidr c = {.bits = n->bits};
    memcpy(c.ip.b, n->prefix, sizeof c.ip.b);
    return cidr_contains(&c, ip);
}

static const char *look_up(const struct network *list, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (within(&list[i], ip))
            return list[i].what;
    return NULL;
}
#define LOOK_UP(list, ip) look_up(list, sizeof(list) / sizeof((list)[0]), ip)

static struct ip v4_at(const struct ip *ip, size_t at)
{
    struct ip v4 = {.b = {[10] = 0xff, [11] = 0xff}};
    memcpy(v4.b + 12, ip->b + at, 4);
    return v4;
}

// The IPv4 address that traffic to `ip` ends at. ISATAP (RFC 5214 section 6.1): an interface
// identifier of 0000:5efe or 0200:5efe.
static bool v4_inside(const struct ip *ip, struct ip *out)
{
    static const uint8_t isatap[3] = {0, 0x5e, 0xfe};
    if (ip_is_v4(ip))
        return false;
    if (within(&nat64, ip)) {
        *out = v4_at(ip, 12);
        return true;
    }
    if (within(&sixtofour, ip)) {
        *out = v4_at(ip, 2);
        return true;
    }
    if ((ip->b[8] & 0xfd) == 0 && !memcmp(ip->b + 9, isatap, sizeof isatap)) {
        *out = v4_at(ip, 12);
        return true;
    }
    return false;
}

static const char *special_of(const struct ip *ip)
{
    const char *what = LOOK_UP(special, ip);
    if (what)
        return what;
    if (ip_is_v4(ip) || within(&internet, ip) || within(&nat64, ip))
        return NULL;
    return "a reserved network";
}

static bool sockaddr_is(const struct sockaddr *sa, const struct ip *ip)
{
    struct endpoint e;
    socklen_t n = sizeof(struct sockaddr_in6);
    if (!sa)
        return false;
    if (sa->sa_family == AF_INET)
        n = sizeof(struct sockaddr_in);
    return !endpoint_from_sockaddr(sa, n, &e) && ip_equal(&e.ip, ip);
}

static const char *interface_of(const struct ip *ip)
{
    struct ifaddrs *all;
    const char *what = NULL;
    if (getifaddrs(&all))
        return "perhaps an address of this machine, whose interfaces cannot be listed";
    for (const struct ifaddrs *i = all; i && !what; i = i->ifa_next)
        if (sockaddr_is(i->ifa_addr, ip))
            what = "an address of this machine";
    freeifaddrs(all);
    return what;
}

static bool allowed(const struct outbound *o, const struct ip *ip, uint8_t least_bits)
{
    for (size_t i = 0; i < o->o.n_allow; i++)
        if (o->allow[i].bits >= least_bits && cidr_contains(&o->allow[i], ip))
            return true;
    return false;
}

static const char *judge_one(const struct outbound *o, const struct ip *ip)
{
    if (allowed(o, ip, 128))
        return NULL;
    const char *what = LOOK_UP(metadata, ip);
    if (what)
        return what;
    if (o->o.owns_address && o->o.owns_address(o->o.ctx, ip))
        return "an address of this registry itself";
    if (!allowed(o, ip, 0)) {
        what = special_of(ip);
        if (what)
            return what;
    }
    return interface_of(ip);
}

const char *outbound_judge(const struct outbound *o, const struct ip *ip)
{
    struct ip inside;
    if (v4_inside(ip, &inside)) {
        const char *what = judge_one(o, &inside);
        if (what)
            return what;
    }
    return judge_one(o, ip);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), n_end = strlen(end);
    return n >= n_end && !strcasecmp(name + n - n_end, end);
}

const char *outbound_judge_name(const struct outbound *o, const char *name)
{
    // RFC 6761, RFC 6762, and what networks use for themselves
    static const char *const inner[] = {".localhost", ".local",     ".internal", ".intranet",
                                        ".lan",       ".home.arpa", ".corp",     ".home"};
    if (!strchr(name, '.'))
        return "a name without a domain";
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
        if (ends_with(name, inner[i]))
            return "a name of a network's inside";
    if (o->o.owns_name && o->o.owns_name(o->o.ctx, name))
        return "a name of this registry itself";
    return NULL;
}
