// SPDX-License-Identifier: Apache-2.0
// A source gave bytes that are not what their digest says; see source.h. Called on the thread that
// fetched them.
#include "content/source_priv.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

#define TELL_AGAIN_MS 600000 // invariant 3

// Was the source told of this digest lately? If not, notes that it is told now. Under the lock.
static bool told_lately(struct source *s, const struct digest *d)
{
    int64_t now = clock_mono_ms();
    struct told *oldest = &s->told[0];
    for (size_t i = 0; i < SOURCE_TOLD_MAX; i++) {
        struct told *t = &s->told[i];
        bool lately = t->at_mono && now - t->at_mono < TELL_AGAIN_MS;
        if (lately && digest_equal(&t->digest, d))
            return true;
        if (t->at_mono < oldest->at_mono)
            oldest = t;
    }
    *oldest = (struct told){.digest = *d, .at_mono = now};
    return false;
}

void source_wrong(struct source *s, const struct content_ask *ask, char error[CONTENT_TEXT_SIZE])
{
    static struct log_limit limit = LOG_LIMIT(5000);
    const char *kind = content_kind_name(ask->kind);
    char text[DIGEST_TEXT_SIZE], when[CLOCK_TEXT_SIZE];
    snprintf(error, CONTENT_TEXT_SIZE,
             "%s: wrong bytes for %s %.19s of %s/%s: its copy is damaged, or what lies between",
             s->name, kind, digest_format(&ask->digest, text), ask->registry, ask->repository);
    pthread_mutex_lock(&s->lock);
    s->n_wrong++;
    snprintf(s->wrong, sizeof s->wrong, "%s: %s %s of %s/%s", clock_format(clock_wall_ms(), when),
             kind, text, ask->registry, ask->repository);
    bool told = told_lately(s, &ask->digest);
    pthread_mutex_unlock(&s->lock);
    log_limited(&limit, LOG_ERROR, "content: %s gave wrong bytes for %s %s of %s/%s", s->name, kind,
                text, ask->registry, ask->repository);
    if (!told && s->ops->tell_wrong)
        s->ops->tell_wrong(s->ctx, ask);
}
