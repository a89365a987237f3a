// SPDX-License-Identifier: Apache-2.0
// store/meta: registers over small histories, exhaustively: every order of arrival gives the same state, and the one
// that base/register.h says.
#include "base/register.h"
#include "tests/unit/store/meta_support.h"

#include <unistd.h>

static struct region_store east;

// An entry that a region signed somewhere: its place is `seq` of `epoch`.
static struct feed_entry entry(const char *origin, uint64_t epoch, uint64_t seq, uint64_t stamp, enum entry_kind kind,
                               const char *repo, const char *text)
{
    struct feed_entry e = {.origin = origin,
                           .epoch = epoch,
                           .seq = seq,
                           .stamp = stamp,
                           .kind = kind,
                           .registry = REG,
                           .repository = repo,
                           .tag = kind == ENTRY_TAG ? "t" : "",
                           .digest = digest_str(text),
                           .media_type = kind == ENTRY_TAG ? "" : TYPE,
                           .key = "k"};
    if (kind == ENTRY_MANIFEST) {
        e.content = bytes_str(text);
        e.size = e.content.n;
    }
    sha256(text, strlen(text), e.hash);
    return e;
}

static struct register_value value_of(const struct feed_entry *e)
{
    return (struct register_value){entry_register_stamp(e), e->origin, e->epoch, e->digest};
}

// The next permutation of n places in lexical order; false after the last.
static bool permute(size_t *p, size_t n)
{
    size_t i = n - 1, k = n - 1;
    while (i > 0 && p[i - 1] >= p[i])
        i--;
    if (i == 0)
        return false;
    while (p[k] <= p[i - 1])
        k--;
    size_t t = p[i - 1];
    p[i - 1] = p[k];
    p[k] = t;
    for (k = n - 1; i < k; i++, k--) {
        t = p[i];
        p[i] = p[k];
        p[k] = t;
    }
    return true;
}

static void expect_value(const char *repo, const struct feed_entry *want)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(east.m, REG, repo, "t", NULL, &a, &row), 0);
    struct register_value here = {row.stamp, row.origin, row.epoch, row.digest}, wanted = value_of(want);
    ck_assert_int_eq(register_order(&here, &wanted), 0);
    arena_done(&a);
}

// Values of one stamp: the region decides, then the epoch, then the digest; one restates. In the log's way, each
// applied twice, in all 720 orders: the store has the highest by register_order at every step.
START_TEST(equal_stamps_have_one_winner_in_every_order)
{
    static const char *const texts[] = {"{1}", "{2}"};
    size_t order[6] = {0, 1, 2, 3, 4, 5};
    unsigned n = 0;
    store_begin_in(&east, "eastus", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    do {
        char repo[16];
        struct digest missing;
        snprintf(repo, sizeof repo, "r%u", n++);
        struct feed_entry t[6] = {entry("eastus", 1, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("eastus", 2, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("eastus", 2, 9, 5, ENTRY_TAG, repo, texts[1]),
                                  entry("westeurope", 1, 9, 5, ENTRY_TAG, repo, texts[0]),
                                  entry("westeurope", 1, 9, 5, ENTRY_TAG, repo, texts[1]),
                                  entry("west", 7, 9, 8, ENTRY_TAG, repo, texts[1])};
        t[5].restates = 5;
        for (size_t i = 0; i < ARRAY_LEN(t); i++) // places of their own
            t[i].seq = 10 * n + i;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            struct feed_entry m = entry("eastus", 1, 0, 1, ENTRY_MANIFEST, repo, texts[i]);
            ck_assert_int_eq(meta_apply(east.m, &m, m.content, NULL, 0, &missing), 0);
        }
        const struct feed_entry *best = NULL;
        for (size_t i = 0; i < ARRAY_LEN(t); i++) {
            const struct feed_entry *e = &t[order[i]];
            struct register_value a = value_of(e), b = best ? value_of(best) : a;
            best = !best || register_order(&a, &b) > 0 ? e : best;
            ck_assert_int_eq(meta_apply(east.m, e, (struct bytes){0}, NULL, 0, &missing), 0);
            expect_value(repo, best);
        }
        for (size_t i = 0; i < ARRAY_LEN(t); i += 5) // again
            ck_assert_int_eq(meta_apply(east.m, &t[order[i]], (struct bytes){0}, NULL, 0, &missing), 0);
        expect_value(repo, best);
        struct arena a;
        struct tag_version *v;
        size_t n_versions;
        arena_init(&a, 0);
        ck_assert_int_eq(meta_tag_history(east.m, REG, repo, "t", 100, &a, &v, &n_versions), 0);
        ck_assert_uint_eq(n_versions, 5); // eastus said {1} twice, the second time in a later epoch
        for (size_t i = 1; i < n_versions; i++) {
            struct register_value x = {v[i - 1].stamp, v[i - 1].origin, v[i - 1].epoch, v[i - 1].digest};
            struct register_value y = {v[i].stamp, v[i].origin, v[i].epoch, v[i].digest};
            ck_assert_int_gt(register_order(&x, &y), 0);
        }
        arena_done(&a);
    } while (permute(order, 6));
    ck_assert_uint_eq(n, 720);
    store_end(&east);
}
END_TEST

CHECK_MAIN("store/meta registers", equal_stamps_have_one_winner_in_every_order)
