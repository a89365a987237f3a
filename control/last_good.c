// SPDX-License-Identifier: Apache-2.0
// The last good version on disk; see last_good.h.
#include "control/last_good.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"

#define KEEP_EVERY_MS 60000 // with changes: at most so often is the whole written anew

int last_good_init(struct last_good *l, const char *what, const char *path, bool is_topology)
{
    *l = (struct last_good){.what = what, .is_topology = is_topology, .path = mem_strdup(path)};
    return l->path ? 0 : ERR_NOMEM;
}

void last_good_done(struct last_good *l)
{
    topology_saver_stop(l->saver);
    free(l->path);
    *l = (struct last_good){0};
}

int last_good_start(struct last_good *l)
{
    return topology_saver_start(l->path, &l->saver);
}

static int keep_text(const struct last_good *l, const struct buf *b)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    int rc = b->err;
    if (!rc)
        rc = file_write_atomic(l->path, buf_cstr(b), b->n, 0600);
    if (rc)
        log_limited(&limit, LOG_WARN, "config: cannot keep the last good %s at %s: %s", l->what,
                    l->path, err_text(rc));
    return rc;
}

void last_good_keep(struct last_good *l, const struct document *d)
{
    bool failed_before = l->failed;
    int rc;
    if (l->is_topology)
        rc = topology_saver_write(l->path, d->value, &d->text);
    else
        rc = keep_text(l, &d->text);
    l->failed = rc != 0;
    l->tried_ms = clock_mono_ms();
    if (failed_before && !l->failed)
        log_info("config: the last good %s is kept at %s", l->what, l->path);
    if (!l->is_topology)
        return;
    l->version = d->version;
    l->kept_ms = l->tried_ms;
}

bool last_good_is_due(struct last_good *l)
{
    int64_t now_ms = clock_mono_ms();
    if (!l->failed || now_ms - l->tried_ms < TOPOLOGY_SAVER_RETRY_MS)
        return false;
    l->tried_ms = now_ms;
    return true;
}

void last_good_offer(struct last_good *l, struct topology *now, bool at_once)
{
    bool can_be_compiled = now && now->frame->text;
    if (!l->saver || !can_be_compiled || l->version == now->version)
        return;
    int64_t now_ms = clock_mono_ms();
    if (!at_once && now_ms - l->kept_ms < KEEP_EVERY_MS)
        return;
    topology_saver_offer(l->saver, now);
    l->version = now->version;
    l->kept_ms = now_ms;
}
