// SPDX-License-Identifier: Apache-2.0
// What a node needs in order to serve, judged by trying it: room on the disk, the metadata, the
// blobs and the token key; see judge.h.
#include "daemon/judge.h"

#include "base/err.h"
#include "base/log.h"
#include "store/spare.h"

// Made while there is plenty, so that a start on a full disk has it.
static void keep_spare(struct app *app, const struct space_view *v)
{
    static struct log_limit limit = LOG_LIMIT(3600000);
    uint64_t n = spare_size(v->reserve_bytes);
    // it must not make the disk short
    uint64_t after = v->reserve_bytes / 4 + 2 * (uint64_t)SPACE_WINDOW_BYTES;
    if (app->vitals->spare_kept || !n || v->is_short || v->room_bytes < n + after)
        return;
    int rc = spare_keep(app->paths->spare, n);
    app->vitals->spare_kept = !rc;
    if (rc)
        log_limited(&limit, LOG_WARN,
                    "daemon: %s: no room can be kept for a start on a full disk: %s",
                    app->paths->spare, err_text(rc));
}

// Content stops at the reserve. True: it has.
static bool judge_disk(struct app *app)
{
    struct space_view v;
    if (!app->space)
        return false;
    int rc = space_look(app->space, &v);
    static struct log_limit limit = LOG_LIMIT(60000);
    if (rc)
        log_limited(&limit, LOG_WARN, "daemon: the free space of %s cannot be found out: %s",
                    app->paths->store, err_text(rc));
    pthread_mutex_lock(&app->vitals->lock);
    app->vitals->disk = v;
    pthread_mutex_unlock(&app->vitals->lock);
    keep_spare(app, &v);
    if (v.is_short)
        condition_set(
            &app->vitals->conditions, CONDITION_DISK, CONDITION_SHORT,
            "%s; make room on the disk of %s, or make it larger (disk.reserve is the reserve)",
            v.text, app->paths->store);
    else
        condition_clear(&app->vitals->conditions, CONDITION_DISK);
    return v.is_short;
}

static const char *entries_cure(int rc)
{
    if (rc == ERR_AHEAD)
        return "set this machine's clock right, or see `meridian replication repair-clock`";
    if (rc == ERR_CRYPTO)
        return "see the feed key under keys/, and restart the node";
    if (rc == ERR_CORRUPT)
        return "restart the node with a good copy of it, or without it, to have it rebuilt from "
               "the other regions";
    return "see the disk that holds it";
}

// A disk on which nothing at all can be written for want of space still serves what is there:
// short, not down.
void judge_store(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    uint64_t free_bytes = 0;
    bool is_short = judge_disk(app);
    bool blobs_ok = !app->blobs || blob_store_writable(app->blobs, &free_bytes);
    int rc = 0;
    if (app->meta)
        rc = meta_probe(app->meta);
    if (rc)
        condition_set(c, CONDITION_METADATA, rc == ERR_NOSPACE ? CONDITION_SHORT : CONDITION_DOWN,
                      "no entry can be written to %s: %s; %s", app->paths->meta_db, err_text(rc),
                      entries_cure(rc));
    else
        condition_clear(c, CONDITION_METADATA);
    if (!blobs_ok)
        condition_set(c, CONDITION_STORE, is_short ? CONDITION_SHORT : CONDITION_DOWN,
                      "no blob can be written under %s, where %llu bytes are free; see that disk",
                      app->node->data_dir, (unsigned long long)free_bytes);
    else
        condition_clear(c, CONDITION_STORE);
}

void judge_blobs(struct app *app)
{
    char text[CONDITION_SENTENCE_SIZE];
    if (replicator_damaged(app->replicator, text, sizeof text))
        condition_set(&app->vitals->conditions, CONDITION_BLOBS, CONDITION_WARNING, "%s", text);
    else
        condition_clear(&app->vitals->conditions, CONDITION_BLOBS);
}

void judge_agreement(struct app *app)
{
    struct conditions *c = &app->vitals->conditions;
    char text[CONDITION_SENTENCE_SIZE];
    if (replicator_conflicts(app->replicator, text, sizeof text))
        condition_set(c, CONDITION_CONFLICT, CONDITION_WARNING, "%s", text);
    else
        condition_clear(c, CONDITION_CONFLICT);
    if (replicator_diverged(app->replicator, text, sizeof text))
        condition_set(c, CONDITION_DIVERGED, CONDITION_WARNING, "%s", text);
    else
        condition_clear(c, CONDITION_DIVERGED);
}

static bool signs_tokens(struct app *app)
{
    uint8_t sig[64];
    return !(app->node->roles & ROLE_AUTH) || !region_keys_sign_token(app->keys, "health", 6, sig);
}

void judge_token_signing(struct app *app)
{
    if (signs_tokens(app))
        condition_clear(&app->vitals->conditions, CONDITION_TOKEN_SIGNING);
    else
        condition_set(&app->vitals->conditions, CONDITION_TOKEN_SIGNING, CONDITION_DOWN,
                      "tokens cannot be signed with %s; look at the key in %s and restart the node",
                      region_keys_token_id(app->keys), app->paths->keys);
}
