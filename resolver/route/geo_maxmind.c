// SPDX-License-Identifier: Apache-2.0
// The reader of MaxMind databases; see geo_maxmind.h. The file comes from outside: libmaxminddb
// checks its bounds, and what it cannot know is checked here: that the tree is one, and that a
// location lies on the globe.
#include "resolver/route/geo_maxmind.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/htab.h"
#include "base/mem.h"

#include <errno.h>
#include <maxminddb.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIXED UINT32_MAX // a subtree with several values, which are told already
#define NO_LOCATION 0

struct geo_maxmind {
    MMDB_s db;
    char *path;
};

struct walk {
    const struct geo_maxmind *m;
    const struct geo_maxmind_user *user;
    // by offset of the record: value, or the address of `none`
    struct htab *values;
    uint64_t visits;
    size_t n_located;
    bool damaged;
    int rc;
};

static char none; // what htab holds for records without a location

// libmaxminddb opens a name only, and maps what is there: the name of a copy that nobody else can
// touch.
static int open_copy(const char *path, struct diag *diag, MMDB_s *out)
{
    struct buf text AUTO_BUF;
    char name[64];
    buf_init(&text, 0);
    int rc = file_read(path, GEO_MAXMIND_MAX_BYTES, &text);
    AUTO_CLOSE int fd = -1;
    if (!rc)
        fd = memfd_create("maxmind", MFD_CLOEXEC);
    if (!rc && fd < 0)
        rc = err_from_errno(errno);
    if (!rc)
        rc = fd_write_all(fd, buf_cstr(&text), text.n);
    if (rc) {
        diag_add(diag, path, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int status = MMDB_open(name, MMDB_MODE_MMAP, out);
    if (status == MMDB_SUCCESS)
        return 0;
    diag_add(diag, path, 0, "not a MaxMind database: %s", MMDB_strerror(status));
    if (status == MMDB_OUT_OF_MEMORY_ERROR)
        return ERR_NOMEM;
    return ERR_INVAL;
}

int geo_maxmind_open(const char *path, struct diag *diag, struct geo_maxmind **out)
{
    struct geo_maxmind *m = mem_zalloc(sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->path = mem_strdup(path);
    int rc = ERR_NOMEM;
    if (m->path)
        rc = open_copy(path, diag, &m->db);
    if (rc) {
        free(m->path);
        free(m);
        return rc;
    }
    *out = m;
    return 0;
}

void geo_maxmind_close(struct geo_maxmind *m)
{
    if (!m)
        return;
    MMDB_close(&m->db);
    free(m->path);
    free(m);
}

uint64_t geo_maxmind_built_s(const struct geo_maxmind *m)
{
    return m->db.metadata.build_epoch;
}

// A number of degrees from -most to most, in 1/10000.
static bool degrees_of(MMDB_entry_s *e, const char *key, double most, int32_t *out)
{
    MMDB_entry_data_s d;
    if (MMDB_get_value(e, &d, "location", key, NULL) != MMDB_SUCCESS || !d.has_data)
        return false;
    double x = 1e9; // out of every range
    if (d.type == MMDB_DATA_TYPE_DOUBLE)
        x = d.double_value;
    else if (d.type == MMDB_DATA_TYPE_FLOAT)
        x = d.float_value;
    if (!(x >= -most && x <= most)) // also what is no number
        return false;
    *out = (int32_t)(x * 10000 + (x < 0 ? -0.5 : 0.5));
    return true;
}

static bool location_of(MMDB_entry_s *e, int32_t *out_latitude, int32_t *out_longitude)
{
    return degrees_of(e, "latitude", 90, out_latitude) &&
           degrees_of(e, "longitude", 180, out_longitude);
}

static uint32_t value_of(struct walk *w, MMDB_entry_s *e)
{
    int32_t latitude, longitude;
    void *known = htab_get(w->values, &e->offset, sizeof e->offset);
    if (known) {
        if (known == &none)
            return NO_LOCATION;
        return (uint32_t)(uintptr_t)known;
    }
    uint32_t v = NO_LOCATION;
    if (location_of(e, &latitude, &longitude)) {
        v = w->user->value(w->user->ctx, latitude, longitude);
        w->n_located++;
        if (!v)
            w->rc = ERR_NOMEM;
    }
    if (htab_put(w->values, &e->offset, sizeof e->offset, v ? (void *)(uintptr_t)v : &none))
        w->rc = ERR_NOMEM;
    return v;
}

static void tell(struct walk *w, const struct cidr *net, uint32_t v)
{
    if (v != NO_LOCATION && v != MIXED && !w->rc)
        w->rc = w->user->network(w->user->ctx, net, v);
}

static struct cidr child_of(const struct cidr *net, int side)
{
    struct cidr c = *net;
    if (side)
        c.ip.b[c.bits / 8] |= (uint8_t)(0x80 >> c.bits % 8);
    c.bits++;
    return c;
}

static uint32_t walk_node(struct walk *w, uint32_t node, const struct cidr *net);

static uint32_t walk_record(struct walk *w, const struct cidr *net, uint8_t type, uint64_t record,
                            MMDB_entry_s *entry)
{
    const MMDB_s *db = &w->m->db;
    switch (type) {
    case MMDB_RECORD_TYPE_SEARCH_NODE:
        // The IPv4 part hangs at ::/96, and again where IPv6 carries IPv4 addresses: there it is no
        // client's network.
        if (db->metadata.ip_version == 6 && record == db->ipv4_start_node.node_value &&
            db->ipv4_start_node.netmask &&
            (net->bits != 96 || memcmp(net->ip.b, (uint8_t[12]){0}, 12) != 0))
            return NO_LOCATION;
        if (net->bits < 128)
            return walk_node(w, (uint32_t)record, net);
        w->damaged = true;
        return NO_LOCATION;
    case MMDB_RECORD_TYPE_DATA:
        return value_of(w, entry);
    case MMDB_RECORD_TYPE_EMPTY:
        return NO_LOCATION;
    default:
        w->damaged = true;
        return NO_LOCATION;
    }
}

// The value of all in the subtree, or MIXED when it has several; each is told with the widest
// network that has it.
static uint32_t walk_node(struct walk *w, uint32_t node, const struct cidr *net)
{
    MMDB_search_node_s n;
    if (w->rc || w->damaged)
        return NO_LOCATION;
    // A tree has each node once, and the IPv4 part perhaps some times more; what loops back has no
    // end.
    if (++w->visits > 8 * (uint64_t)w->m->db.metadata.node_count + 128 ||
        MMDB_read_node(&w->m->db, node, &n) != MMDB_SUCCESS) {
        w->damaged = true;
        return NO_LOCATION;
    }
    struct cidr left = child_of(net, 0), right = child_of(net, 1);
    uint32_t a = walk_record(w, &left, n.left_record_type, n.left_record, &n.left_record_entry);
    uint32_t b = walk_record(w, &right, n.right_record_type, n.right_record, &n.right_record_entry);
    if (a == b && a != MIXED && net->bits != 96) // the IPv4 part is told by itself
        return a;
    tell(w, &left, a);
    tell(w, &right, b);
    return MIXED;
}

struct v4_user { // the IPv4 part of the tree to the mapped form
    const struct geo_maxmind_user *user;
};

static void to_mapped(struct cidr *net)
{
    static const uint8_t zero[12];
    if (net->bits >= 96 && !memcmp(net->ip.b, zero, sizeof zero))
        memset(net->ip.b + 10, 0xff, 2);
}

static uint32_t value_mapped(void *ctx, int32_t latitude, int32_t longitude)
{
    const struct geo_maxmind_user *u = ((struct v4_user *)ctx)->user;
    return u->value(u->ctx, latitude, longitude);
}

static int network_mapped(void *ctx, const struct cidr *net, uint32_t value)
{
    const struct geo_maxmind_user *u = ((struct v4_user *)ctx)->user;
    struct cidr c = *net;
    to_mapped(&c);
    return u->network(u->ctx, &c, value);
}

int geo_maxmind_walk(struct geo_maxmind *m, const struct geo_maxmind_user *user, struct diag *diag)
{
    struct v4_user v4 = {user};
    const struct geo_maxmind_user mapped = {&v4, value_mapped, network_mapped};
    struct walk w = {.m = m, .user = &mapped, .values = htab_new()};
    struct cidr all = {.bits = m->db.metadata.ip_version == 4 ? 96 : 0};
    if (!w.values)
        return ERR_NOMEM;
    tell(&w, &all, walk_node(&w, 0, &all));
    htab_free(w.values);
    if (!w.rc && w.damaged) {
        diag_add(diag, m->path, 0, "the database is damaged: its tree does not hold together");
        w.rc = ERR_INVAL;
    } else if (!w.rc && !w.n_located) {
        diag_add(
            diag, m->path, 0,
            "no record in it has a location (its type is %.64s; one like GeoLite2-City is needed)",
            m->db.metadata.database_type ? m->db.metadata.database_type : "not said");
        w.rc = ERR_INVAL;
    }
    return w.rc;
}

int geo_maxmind_find(struct geo_maxmind *m, const struct ip *ip, struct geo_place *out)
{
    struct endpoint e = {*ip, 0};
    struct sockaddr_storage sa;
    struct geo_place p;
    int status = MMDB_SUCCESS;
    endpoint_to_sockaddr(&e, &sa);
    if (m->db.metadata.ip_version == 4 && !ip_is_v4(ip))
        return ERR_NOTFOUND;
    MMDB_lookup_result_s r = MMDB_lookup_sockaddr(&m->db, (struct sockaddr *)&sa, &status);
    if (status != MMDB_SUCCESS || !r.found_entry ||
        !location_of(&r.entry, &p.latitude, &p.longitude))
        return ERR_NOTFOUND;
    p.net.ip = *ip;
    p.net.bits = (uint8_t)(ip_is_v4(ip) && r.netmask <= 32 ? r.netmask + 96 : r.netmask);
    for (unsigned i = p.net.bits; i < 128; i++)
        p.net.ip.b[i / 8] &= (uint8_t) ~(0x80 >> i % 8);
    *out = p;
    return 0;
}
