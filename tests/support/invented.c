// SPDX-License-Identifier: Apache-2.0
// A daemon of a later version, as far as the feed goes: it knows one attribute more, a tag's "hold".
// The linker puts these functions in front of the tables of kinds (--wrap), in meridiand_invented
// only; the product has no such row.
//
// Who tags an image "noted…" there also writes that attribute, and with a tag "held…" one that
// must be known. Applying it sets the number "invented:REGISTRY/REPOSITORY:TAG" in the metadata to
// the entry's stamp, which is all that it does.
#include "replication/kind_apply.h"
#include "store/backend_chain.h"
#include "store/kind_rules.h"

#include <stdio.h>
#include <string.h>

#define INVENTED 40 // its number among the kinds

static const struct entry_form form_hold = {
    .subject = SUBJECT_TAG,
    .attribute = "hold",
    .members = ENTRY_HAS_TAG | ENTRY_IS_LOCK,
};

// --- its form ---

const struct entry_form *__real_entry_form(enum entry_kind kind);
const struct entry_form *__wrap_entry_form(enum entry_kind kind);
const struct entry_form *__wrap_entry_form(enum entry_kind kind)
{
    if ((int)kind == INVENTED)
        return &form_hold;
    return __real_entry_form(kind);
}

enum entry_kind __real_entry_kind_about(enum entry_subject subject, const char *attribute,
                                        bool gone);
enum entry_kind __wrap_entry_kind_about(enum entry_subject subject, const char *attribute,
                                        bool gone);
enum entry_kind __wrap_entry_kind_about(enum entry_subject subject, const char *attribute,
                                        bool gone)
{
    if (subject == SUBJECT_TAG && strcmp(attribute, form_hold.attribute) == 0 && !gone)
        return (enum entry_kind)INVENTED;
    return __real_entry_kind_about(subject, attribute, gone);
}

// --- its rules ---

static int hold_note(struct tx *tx, const struct feed_entry *e)
{
    char name[NUMBER_NAME_MAX + 1];
    snprintf(name, sizeof name, "invented:%s/%s:%s", e->registry, e->repository, e->tag);
    tx->notify = true;
    return number_set(tx, name, e->stamp);
}

static int hold_merge(struct tx *tx, int64_t repo, const struct feed_entry *e, struct bytes content,
                      const struct manifest_ref *refs, size_t n_refs, struct digest *out_missing)
{
    (void)repo, (void)content, (void)refs, (void)n_refs, (void)out_missing;
    return hold_note(tx, e);
}

static int hold_merge_alone(struct tx *tx, int64_t repo, const struct feed_entry *e)
{
    (void)repo;
    return hold_note(tx, e);
}

static int hold_again_above(struct tx *tx, int64_t repo, const struct feed_entry *e, uint64_t limit,
                            uint64_t *out_above)
{
    (void)tx, (void)repo, (void)e, (void)limit;
    *out_above = 0;
    return 0;
}

static const struct kind_rules rules_hold = {
    .waits = KIND_WAITS_FOR_ANY,
    .merge = hold_merge,
    .merge_alone = hold_merge_alone,
    .again_above = hold_again_above,
    .again = hold_merge_alone,
};

const struct kind_rules *__real_kind_rules(enum entry_kind kind);
const struct kind_rules *__wrap_kind_rules(enum entry_kind kind);
const struct kind_rules *__wrap_kind_rules(enum entry_kind kind)
{
    if ((int)kind == INVENTED)
        return &rules_hold;
    return __real_kind_rules(kind);
}

// --- its course ---

const struct kind_apply *__real_kind_apply(enum entry_kind kind);
const struct kind_apply *__wrap_kind_apply(enum entry_kind kind);
const struct kind_apply *__wrap_kind_apply(enum entry_kind kind)
{
    // It needs nothing from elsewhere, as a lock does.
    if ((int)kind == INVENTED)
        return __real_kind_apply(ENTRY_TAG_LOCK);
    return __real_kind_apply(kind);
}

// --- who writes it ---

int __real_feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
                     struct feed_entry *e, int64_t *out_id);
int __wrap_feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
                     struct feed_entry *e, int64_t *out_id);
int __wrap_feed_mint(struct meta *m, struct tx *tx, uint64_t above, struct bytes keep_content,
                     struct feed_entry *e, int64_t *out_id)
{
    int64_t id;
    int rc = __real_feed_mint(m, tx, above, keep_content, e, out_id);
    if (rc || e->kind != ENTRY_TAG)
        return rc;
    bool noted = strncmp(e->tag, "noted", 5) == 0, held = strncmp(e->tag, "held", 4) == 0;
    if (!noted && !held)
        return 0;
    struct feed_entry hold = {.kind = (enum entry_kind)INVENTED,
                              .registry = e->registry,
                              .repository = e->repository,
                              .tag = e->tag,
                              .media_type = "",
                              .must = held,
                              .lock_delete = true,
                              .by = "invented"};
    rc = __real_feed_mint(m, tx, 0, (struct bytes){0}, &hold, &id);
    if (rc)
        return rc;
    return hold_note(tx, &hold);
}
