// SPDX-License-Identifier: Apache-2.0
// Zones in files; see zone_file.h. What is read is untrusted: the digest says that a file is whole,
// not that it is right.
#include "resolver/zone/zone_file.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = {'M', 'Z', 'O', 'N', 'E', 0, 0, 1};

static void put(struct buf *b, uint64_t v, size_t n)
{
    while (n--)
        buf_u8(b, (uint8_t)(v >> 8 * n));
}

// Head: magic, serial, whether it is signed, apex, number of records. Record: owner (length 0: that
// of the record before), type, TTL, RDATA.
void zone_format(const struct zone *z, struct buf *out)
{
    size_t begin = out->n;
    buf_add(out, magic, sizeof magic);
    put(out, z->serial, 4);
    put(out, z->is_signed, 1);
    put(out, z->apex_n, 1);
    buf_add(out, z->apex, z->apex_n);
    put(out, z->n_rrs, 4);
    for (size_t i = 0; i < z->n_rrs; i++) {
        const struct zone_rr *rr = &z->rrs[i], *before = i ? rr - 1 : NULL;
        bool same = before && before->owner_n == rr->owner_n &&
                    !memcmp(before->owner, rr->owner, rr->owner_n);
        put(out, same ? 0 : rr->owner_n, 1);
        if (!same)
            buf_add(out, rr->owner, rr->owner_n);
        put(out, rr->type, 2);
        put(out, rr->ttl, 4);
        put(out, rr->rdata_n, 2);
        buf_add(out, rr->rdata, rr->rdata_n);
    }
    uint8_t digest[SHA256_BYTES];
    if (out->err)
        return;
    sha256(out->p + begin, out->n - begin, digest);
    buf_add(out, digest, sizeof digest);
}

// A whole name in wire form, in n octets exactly.
static bool name_ok(struct bytes b)
{
    size_t at = 0;
    while (at < b.n && b.p[at] && b.p[at] <= 63)
        at += 1u + b.p[at];
    return b.n <= DNS_NAME_MAX && at + 1 == b.n && !b.p[at];
}

static bool read_record(struct cursor *c, struct zone_rr *before, struct zone_rr *out)
{
    size_t owner_n = cursor_u8(c);
    struct bytes owner;
    if (owner_n || !before)
        owner = cursor_take(c, owner_n);
    else
        owner = (struct bytes){before->owner, before->owner_n};
    uint16_t type = cursor_u16(c);
    uint32_t ttl = cursor_u32(c);
    struct bytes rdata = cursor_take(c, cursor_u16(c));
    if (c->failed || !name_ok(owner))
        return false;
    *out = (struct zone_rr){owner.p, rdata.p, (uint16_t)owner.n, (uint16_t)rdata.n, type, ttl};
    return true;
}

int zone_parse(const void *p, size_t n, struct zone **out)
{
    uint8_t digest[SHA256_BYTES];
    if (n < sizeof magic + SHA256_BYTES)
        return ERR_CORRUPT;
    if (memcmp(p, magic, sizeof magic))
        return ERR_VERSION;
    size_t body = n - SHA256_BYTES;
    sha256(p, body, digest);
    if (memcmp((const uint8_t *)p + body, digest, sizeof digest))
        return ERR_CORRUPT;
    struct cursor c = cursor_of((struct bytes){p, body});
    cursor_skip(&c, sizeof magic);
    uint32_t serial = cursor_u32(&c);
    uint8_t is_signed = cursor_u8(&c);
    struct bytes apex = cursor_take(&c, cursor_u8(&c));
    uint32_t n_rrs = cursor_u32(&c);
    // a record takes nine bytes or more
    if (c.failed || is_signed > 1 || !name_ok(apex) || n_rrs > cursor_left(&c) / 9)
        return ERR_CORRUPT;
    AUTO_FREE struct zone_rr *rrs = mem_zalloc_array(n_rrs, sizeof *rrs);
    if (!rrs)
        return ERR_NOMEM;
    for (size_t i = 0; i < n_rrs; i++)
        if (!read_record(&c, i ? &rrs[i - 1] : NULL, &rrs[i]))
            return ERR_CORRUPT;
    if (cursor_left(&c))
        return ERR_CORRUPT;
    int rc = zone_new(apex.p, apex.n, serial, is_signed, rrs, n_rrs, out);
    if (rc == ERR_INVAL)
        return ERR_CORRUPT;
    return rc;
}

// ---- the directory ----

#define NAME_SIZE 32

static void name_of(uint32_t serial, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, "fe-%u.zone", (unsigned)serial);
}

static bool is_zone_file(const char *name, uint32_t *out_serial)
{
    char again[NAME_SIZE];
    if (strncmp(name, "fe-", 3))
        return false;
    unsigned long serial = strtoul(name + 3, NULL, 10);
    if (serial > UINT32_MAX)
        return false;
    name_of((uint32_t)serial, again);
    *out_serial = (uint32_t)serial;
    return !strcmp(name, again);
}

int zone_file_save(const char *dir, const struct zone *z)
{
    char name[NAME_SIZE];
    struct buf text AUTO_BUF;
    buf_init(&text, ZONE_FILE_MAX);
    zone_format(z, &text);
    name_of(z->serial, name);
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    if (text.err || !path) {
        if (text.err)
            return text.err;
        return ERR_NOMEM;
    }
    return file_write_atomic(path, text.p, text.n, 0600);
}

static int load(const char *dir, const char *name, uint32_t serial, struct zone **out)
{
    AUTO_FREE char *path = mem_printf("%s/%s", dir, name);
    struct buf text AUTO_BUF;
    struct zone *z = NULL;
    buf_init(&text, 0);
    int rc = ERR_NOMEM;
    if (path)
        rc = file_read(path, ZONE_FILE_MAX, &text);
    if (!rc)
        rc = zone_parse(text.p, text.n, &z);
    if (!rc && z->serial != serial) {
        snapshot_unref(z);
        rc = ERR_CORRUPT;
    }
    if (rc && rc != ERR_NOMEM)
        log_warn("dns: %s: an earlier version of the zone is not used: %s", path, err_text(rc));
    if (!rc)
        *out = z;
    return rc;
}

static void insert(struct zone *zones[], size_t cap, size_t *n, struct zone *z)
{
    size_t at = 0;
    while (at < *n && zone_serial_less(z->serial, zones[at]->serial))
        at++;
    if (at == cap) {
        snapshot_unref(z);
        return;
    }
    if (*n == cap)
        snapshot_unref(zones[--*n]);
    memmove(&zones[at + 1], &zones[at], (*n - at) * sizeof *zones);
    zones[at] = z;
    ++*n;
}

int zone_file_load_all(const char *dir, struct zone *zones[], size_t cap, size_t *out_n)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    int rc = 0;
    if (!d)
        return err_from_errno(errno);
    for (const struct dirent *e; rc != ERR_NOMEM && (e = readdir(d));) {
        uint32_t serial;
        struct zone *z = NULL;
        if (!is_zone_file(e->d_name, &serial))
            continue;
        rc = load(dir, e->d_name, serial, &z);
        if (!rc)
            insert(zones, cap, &n, z);
    }
    closedir(d);
    if (rc != ERR_NOMEM) {
        *out_n = n;
        return 0;
    }
    while (n)
        snapshot_unref(zones[--n]);
    return rc;
}

static bool holds(const struct zone_history *h, uint32_t serial)
{
    return h->zone->serial == serial || zone_history_from(h, serial);
}

void zone_file_prune(const char *dir, const struct zone_history *h)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));) {
        uint32_t serial;
        if (is_zone_file(e->d_name, &serial) && !holds(h, serial) &&
            unlinkat(dirfd(d), e->d_name, 0))
            log_warn("dns: %s/%s cannot be removed: %s", dir, e->d_name, strerror(errno));
    }
    closedir(d);
}
