// SPDX-License-Identifier: Apache-2.0
// Tables of the backend in memory: sorted arrays of rows that nobody changes. A table and its rows
// are shared by all states that hold them; a transaction copies an array of pointers when it first
// changes that table.
//
//   const struct m_tag *t = row_find(tx, T_TAGS, &(struct m_tag){.repo = repo, .tag = tag});
//   struct m_tag changed = *t;
//   changed.stamp = 7;
//   rc = row_put(tx, T_TAGS, &changed);             // copies it, with its texts
#ifndef MERIDIAN_TESTS_MEMORY_TABLES_H
#define MERIDIAN_TESTS_MEMORY_TABLES_H

#include "store/backend_chain.h"
#include "store/backend_jobs.h"
#include "store/backend_links.h"
#include "store/backend_log.h"
#include "store/backend_state.h"
#include "store/backend_survey.h"
#include "store/backend_tags.h"
#include "store/backend_tasks.h"
#include "store/backend_uploads.h"
#include "store/backend_void.h"
#include "tests/support/memory_backend.h"

enum table_id {
    T_OWN,
    T_FEED,
    T_PLACES,
    T_MARKS,
    T_REPOS,
    T_MANIFESTS,
    T_REFS,
    T_UNTAGGED,
    T_LOCKS,
    T_TAGS,
    T_HISTORY,
    T_LINKS,
    T_BLOBS,
    T_USAGE,
    T_PULLED,
    T_TASKS,
    T_VOIDED,
    T_REVOKED,
    T_OUTDONE,
    T_UPLOADS,
    T_ENDED,
    T_NUMBERS,
    N_TABLES
};

// Rows. The first line of members is the key.
struct m_own { // one row; also counters
    int zero;
    uint64_t epoch, stamp;
    // as own_set had it, for the transaction that makes this version of the state
    struct feed_mark last;
    uint64_t last_of_version;
    int64_t feed_id, repo_id, void_id, run_ms;
    uint64_t ended_n, task_n;
};
struct m_feed {
    int64_t id;
    // e.content: what is kept beside it
    struct feed_entry e;
    bool refused;
};
struct m_place {
    const char *origin;
    uint32_t part;
    uint64_t epoch, seq;
    int64_t id;
};
struct m_mark {
    const char *origin;
    uint32_t part;
    struct feed_mark mark;
};
struct m_repo {
    const char *registry, *name;
    int64_t id;
};
struct m_manifest {
    int64_t repo;
    struct digest digest;
    // absent: the map in hex
    const char *media_type, *origin, *gone_origin, *by, *absent;
    // n 0: not here
    struct bytes content;
    uint64_t stamp, epoch, gone_stamp, gone_epoch, killed;
    int64_t died_ms;
    bool live;
};
struct m_ref {
    int64_t repo;
    struct digest parent, child;
    int kind;
    bool absent;
};
struct m_untagged {
    int64_t repo;
    struct digest digest;
    int64_t since_ms;
};
struct m_lock {
    int64_t repo;
    const char *tag;
    struct digest digest;
    const char *origin, *by;
    uint64_t stamp, epoch;
    bool write, del;
};
struct m_tag {
    int64_t repo;
    const char *tag;
    const char *origin, *gone_origin, *by;
    struct digest digest;
    uint64_t stamp, epoch, generation, gone_stamp, gone_epoch, gone_generation, ended;
    bool create_only, gone_create_only, live;
};
struct m_version {
    int64_t repo;
    const char *tag;
    uint64_t stamp;
    const char *origin;
    struct digest digest;
    uint64_t epoch, generation;
    bool gone, create_only;
    const char *by;
};
struct m_link {
    int64_t repo;
    struct digest digest;
    struct hold hold;
};
struct m_blob {
    struct digest digest;
    struct blob_row row;
};
struct m_pulled {
    int64_t repo;
    struct digest digest;
    int64_t at_ms;
};
struct m_usage {
    // of the repository; 0: of the registry
    const char *registry;
    int64_t repo;
    struct usage usage;
};
struct m_task {
    int64_t id;
    enum task_kind kind;
    const char *registry, *reason;
    uint32_t attempts;
    int64_t due_ms, failed_ms;
    // of all but jobs
    const char *key, *payload;
    uint64_t revision;
    // of jobs
    const char *origin, *repository;
    uint64_t epoch, seq, stamp, room;
    uint32_t part;
    int grade;
    bool waiting;
};
struct m_void {
    int64_t id;
    const char *reason, *was;
    int64_t at_ms;
    struct feed_entry e;
};
struct m_outdone {
    int64_t repo;
    const char *tag;
    uint64_t stamp;
};
struct m_upload {
    const char *id;
    struct upload_row row;
    int64_t idle_ms;
};
struct m_ended {
    const char *id;
    struct ended_row row;
    uint64_t n;
};

struct m_number {
    const char *name;
    uint64_t value;
};

struct table;
struct state { // of the database
    _Atomic size_t n_refs;
    uint64_t version;
    struct table *tables[N_TABLES];
};

struct memory_tx {
    struct tx tx;
    struct memory_backend *of;
    struct state *s;
    bool writes;
};

static inline struct memory_tx *memory_tx(struct tx *tx)
{
    return (struct memory_tx *)tx;
}

struct state *state_new(void);
struct state *state_copy(struct state *s); // tables are shared; NULL when out of memory
void state_unref(struct state *s);

size_t row_count(struct tx *tx, enum table_id t);
const void *row_at(struct tx *tx, enum table_id t, size_t i);
// Where the first row stands that is not less than the key.
size_t row_lower(struct tx *tx, enum table_id t, const void *key);
const void *row_find(struct tx *tx, enum table_id t, const void *key); // NULL: none
int row_put(struct tx *tx, enum table_id t, const void *row);          // adds or replaces
int row_remove(struct tx *tx, enum table_id t, const void *key);       // ERR_NOTFOUND
int row_remove_at(struct tx *tx, enum table_id t, size_t i);

struct m_own own_row(struct tx *tx);

// Each row of a table, as a pointer `r`.
#define EACH_ROW(tx, t, type, r)                              \
    for (size_t r##_i = 0; r##_i < row_count(tx, t); r##_i++) \
        for (const type *r = row_at(tx, t, r##_i), *r##_once = r; r##_once; r##_once = NULL)

// --- copies for callers ---
int text_out(struct arena *a, const char *s, const char **out); // NULL stays NULL
int entry_out(struct arena *a, const struct feed_entry *e, bool with_content,
              struct feed_entry *out);
const struct m_feed *feed_by_id(struct tx *tx, int64_t id);
// 0 when there is no such repository; ids begin with 1
int64_t repo_id(struct tx *tx, const char *registry, const char *repository);
int digest_cmp(const struct digest *a, const struct digest *b);
void register_out(struct register_now *to, uint64_t stamp, const char *origin, uint64_t epoch);

int memory_referrers(struct tx *tx, const struct referrers_ask *ask, struct arena *a,
                     struct referrers_page *out);

extern const struct log_ops memory_log_ops;
extern const struct chain_ops memory_chain_ops;
extern const struct state_ops memory_state_ops;
extern const struct manifest_ops memory_manifest_ops;
extern const struct tag_ops memory_tag_ops;
extern const struct task_ops memory_task_ops;
extern const struct job_ops memory_job_ops;
extern const struct void_ops memory_void_ops;
extern const struct survey_ops memory_survey_ops;
extern const struct upload_ops memory_upload_ops;
extern const struct link_ops memory_link_ops;

#endif
