// SPDX-License-Identifier: Apache-2.0
// The whole store under kill -9: one process pushes images, deletes tags and manifests, and
// collects what nobody needs; it dies at a random step of its work on the disk, or is killed from
// outside, or meets an I/O error first. Afterwards, each time:
//   - what was acknowledged is there and whole, to the last byte of each blob
//   - what was acknowledged as deleted is not there
//   - nothing is half there: what is visible is whole, and no tag leads to nothing
//   - collection removes the rest: each file on the disk is one that the metadata names
// KILLS=n in the environment: so many deaths (`make kills`: 1,000).
#include "store/blob.h"
#include "store/collect.h"
#include "store/files/files.h"
#include "store/meta_delete.h"
#include "store/orphans.h"
#include "store/publish.h"
#include "tests/support/full_disk.h"
#include "tests/unit/store/links_check.h"
#include "tests/unit/store/meta_support.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS_DEFAULT 30
#define N_TAGS 5
#define N_SHARED 4 // layers that images have in common
#define IMAGES_MAX 40000
#define RECORDS_MAX 200000
#define STEPS_MAX 260 // of one life, before it ends
#define BLOB_MAX 70000

enum op_kind { OP_PUSH, OP_UNTAG, OP_DELETE, OP_COLLECT };
enum op_state { OP_BEGUN, OP_DONE, OP_FAILED };

struct record {
    enum op_kind kind;
    enum op_state state;
    int tag;
    // of a push or a deletion: which image
    int image;
};

// Shared with the process that dies: what it began, and what was acknowledged to it.
struct journal {
    _Atomic int n;
    int next_image;
    struct record r[RECORDS_MAX];
};

// What must be so, may be so, must not be so.
enum certainty { IS_NOT, MAY_BE, IS };

static struct region_store region;
static struct blob_store *bs;
static struct journal *journal;
static char blobs_dir[96];

static enum certainty lives[IMAGES_MAX];
// which image each tag may show; -1: none
static bool shows[N_TAGS][IMAGES_MAX + 1];
#define NOTHING IMAGES_MAX

// --- images: all is made from their numbers ---

static uint32_t next_random(uint32_t *x)
{
    *x = *x * 1664525u + 1013904223u;
    return *x >> 8;
}

static size_t layer_make(int image, int layer, char *out)
{
    uint32_t x = layer == 0 ? (uint32_t)(image % N_SHARED) : 1000u + (uint32_t)image;
    size_t n = 1 + next_random(&x) % (BLOB_MAX - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(next_random(&x) & 0xff);
    return n;
}

static void manifest_make(int image, char out[64])
{
    snprintf(out, 64, "{\"image\":%d}", image);
}

static void tag_name(int tag, char out[16])
{
    snprintf(out, 16, "t%d", tag);
}

static void stores_open(void)
{
    store_reopen(&region);
    meta_set_lease_grace(region.m, 0);
    ck_assert_int_eq(blob_files_open(blobs_dir, &bs), 0);
}

static void stores_close(void)
{
    blob_store_close(bs);
    meta_close(region.m);
}

// --- the process that dies ---

static int layer_upload(int image, int layer, const char *p, size_t n, const struct digest *d)
{
    char id[32];
    struct blob_upload *u;
    struct blob_name name;
    uint64_t size;
    snprintf(id, sizeof id, "u%d.%d", image, layer);
    int rc = blob_upload_open(bs, id, &u);
    if (rc)
        return rc;
    rc = blob_upload_write(u, p, n / 2);
    if (!rc)
        rc = blob_upload_sync(u);
    if (!rc)
        rc = blob_upload_write(u, p + n / 2, n - n / 2);
    if (!rc)
        rc = blob_upload_commit(u, d, &name, &size);
    blob_upload_close(u);
    if (rc)
        return rc;
    const struct lease_add add = {
        .registry = REG, .repository = "app", .digest = *d, .published = &name, .size = size};
    struct lease_result result;
    rc = blob_publish(bs, region.m, &add, &result);
    (void)blob_upload_discard(bs, id);
    return rc;
}

static int layer_push(int image, int layer, struct manifest_ref *ref)
{
    static char p[BLOB_MAX];
    struct blob_here here;
    size_t n = layer_make(image, layer, p);
    struct digest d;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, p, n, &d), 0);
    *ref = (struct manifest_ref){.kind = REF_BLOB, .digest = d, .size = n};
    int rc = meta_blob_look(region.m, REG, "app", &d, &here);
    if (!rc)
        return meta_lease_renew(region.m, REG, "app", &here);
    if (rc != ERR_NOTFOUND)
        return rc;
    return layer_upload(image, layer, p, n, &d);
}

static int image_push(const struct record *r)
{
    struct manifest_ref refs[2];
    char text[64], tag[16];
    struct put_result result;
    for (int i = 0; i < 2; i++) {
        int rc = layer_push(r->image, i, &refs[i]);
        if (rc)
            return rc;
    }
    manifest_make(r->image, text);
    tag_name(r->tag, tag);
    return put_refs(&region, "app", tag, text, refs, 2, &result);
}

static int image_delete(const struct record *r)
{
    char text[64], tag[16];
    struct delete_result result = {0};
    struct delete_request q = {.registry = REG, .repository = "app"};
    struct arena a;
    int rc;
    arena_init(&a, 0);
    if (r->kind == OP_UNTAG) {
        tag_name(r->tag, tag);
        q.tag = tag;
        rc = meta_tag_delete(region.m, &q, &a, &result);
    } else {
        manifest_make(r->image, text);
        struct digest d = digest_str(text);
        q.digest = &d;
        rc = meta_manifest_delete(region.m, &q, &a, &result);
    }
    arena_done(&a);
    if (rc == ERR_NOTFOUND) // there was none: as it should be
        return 0;
    return rc;
}

static int collect_all(void)
{
    struct collect_counts c = {.more = true};
    int rc = 0;
    for (int i = 0; !rc && c.more && i < 1000; i++) {
        c = (struct collect_counts){0};
        rc = collect_turn(bs, region.m, &c);
    }
    return rc;
}

static int act(const struct record *r)
{
    if (r->kind == OP_PUSH)
        return image_push(r);
    if (r->kind == OP_COLLECT)
        return collect_all();
    return image_delete(r);
}

static struct record choose(uint32_t *rnd)
{
    uint32_t dice = next_random(rnd) % 10;
    struct record r = {.kind = OP_PUSH, .tag = (int)(next_random(rnd) % N_TAGS)};
    if (dice == 0)
        r.kind = OP_UNTAG;
    if (dice == 1 || dice == 2)
        r.kind = OP_DELETE;
    if (dice == 3)
        r.kind = OP_COLLECT;
    if (r.kind == OP_PUSH)
        r.image = journal->next_image++;
    if (r.kind == OP_DELETE) // of the last ones
        r.image = journal->next_image - 1 - (int)(next_random(rnd) % 8);
    if (r.kind == OP_DELETE && r.image < 0)
        r.kind = OP_COLLECT;
    return r;
}

static void life(uint32_t rnd)
{
    stores_open();
    uint32_t how = next_random(&rnd) % 8;
    long step = 1 + next_random(&rnd) % STEPS_MAX;
    int left = -1;
    if (how < 5)
        full_disk_dies_at(step);
    if (how == 5)
        full_disk_fails_at(step, EIO);
    if (how == 6)
        full_disk_fails_at(step, ENOSPC);
    if (how >= 5)
        left = (int)(next_random(&rnd) % 20);
    while (left-- != 0) {
        int i = journal->n;
        if (i == RECORDS_MAX || journal->next_image >= IMAGES_MAX - 1)
            break;
        journal->r[i] = choose(&rnd);
        journal->n = i + 1;
        int rc = act(&journal->r[i]);
        journal->r[i].state = rc ? OP_FAILED : OP_DONE;
    }
    full_disk_dies_at(1); // whatever it writes next
    for (;;)
        (void)act(&(struct record){.kind = OP_PUSH, .image = IMAGES_MAX - 1, .tag = N_TAGS});
}

// --- what is expected after it ---

static void tag_only(int tag, int image)
{
    memset(shows[tag], 0, sizeof shows[tag]);
    shows[tag][image] = true;
}

static void expect_push(const struct record *r)
{
    if (r->state == OP_DONE) {
        lives[r->image] = IS;
        tag_only(r->tag, r->image);
        return;
    }
    lives[r->image] = MAY_BE;
    shows[r->tag][r->image] = true;
}

// The tags that may show a deleted image show nothing then.
static void expect_delete(const struct record *r)
{
    bool done = r->state == OP_DONE;
    if (lives[r->image] != IS_NOT)
        lives[r->image] = done ? IS_NOT : MAY_BE;
    for (int t = 0; t < N_TAGS; t++) {
        if (!shows[t][r->image])
            continue;
        shows[t][NOTHING] = true;
        if (done)
            shows[t][r->image] = false;
    }
}

static void expect_untag(const struct record *r)
{
    if (r->state == OP_DONE)
        tag_only(r->tag, NOTHING);
    else
        shows[r->tag][NOTHING] = true;
}

static void expect(const struct record *r)
{
    if (r->kind == OP_PUSH)
        expect_push(r);
    if (r->kind == OP_UNTAG)
        expect_untag(r);
    if (r->kind == OP_DELETE)
        expect_delete(r);
}

static void layer_check(int image, int layer)
{
    static char want[BLOB_MAX], got[BLOB_MAX];
    struct blob_here here;
    struct blob_reader *r;
    struct digest d;
    size_t n = layer_make(image, layer, want), n_got = 0;
    ck_assert_int_eq(digest_of(DIGEST_SHA256, want, n, &d), 0);
    int rc = meta_blob_look(region.m, REG, "app", &d, &here);
    ck_assert_msg(rc == 0 && here.size == n, "image %d: layer %d is lost (%s)", image, layer,
                  err_text(rc));
    rc = blob_reader_open(bs, &here.name, &r);
    ck_assert_msg(rc == 0, "image %d: the file of layer %d is lost (%s)", image, layer,
                  err_text(rc));
    ck_assert_int_eq(blob_reader_read(r, 0, got, sizeof got, &n_got), 0);
    ck_assert_msg(n_got == n && memcmp(want, got, n) == 0, "image %d: layer %d is damaged", image,
                  layer);
    blob_reader_close(r);
}

static void image_check(int image)
{
    char text[64];
    struct manifest_row row;
    struct arena a;
    arena_init(&a, 0);
    manifest_make(image, text);
    struct digest d = digest_str(text);
    int rc = meta_manifest_get(region.m, REG, "app", NULL, &d, &a, &row);
    ck_assert_msg(rc == 0 || rc == ERR_NOTFOUND, "image %d: %s", image, err_text(rc));
    ck_assert_msg(rc == 0 || lives[image] != IS, "image %d was acknowledged and is lost", image);
    ck_assert_msg(rc != 0 || lives[image] != IS_NOT, "image %d was deleted and is there", image);
    lives[image] = rc ? IS_NOT : IS;
    if (!rc) {
        ck_assert(row.content.n == strlen(text) && !memcmp(row.content.p, text, row.content.n));
        layer_check(image, 0);
        layer_check(image, 1);
    }
    arena_done(&a);
}

static void tag_check(int tag)
{
    char name[16];
    int image = NOTHING;
    struct manifest_row row;
    struct arena a;
    arena_init(&a, 0);
    tag_name(tag, name);
    int rc = meta_manifest_get(region.m, REG, "app", name, NULL, &a, &row);
    ck_assert_msg(rc == 0 || rc == ERR_NOTFOUND, "tag %s: %s", name, err_text(rc));
    if (!rc)
        ck_assert_int_eq(sscanf((const char *)row.content.p, "{\"image\":%d}", &image), 1);
    arena_done(&a);
    ck_assert_msg(shows[tag][image], "tag %s shows image %d", name, image);
    tag_only(tag, image);
}

static void files_check(void)
{
    struct blob_walk at = {0};
    while (!at.ended) {
        struct blob_name names[64];
        bool named[64];
        size_t n = 0;
        ck_assert_int_eq(blob_walk(bs, &at, names, ARRAY_LEN(names), &n), 0);
        ck_assert_int_eq(meta_blobs_named(region.m, names, n, named), 0);
        for (size_t i = 0; i < n; i++) {
            char text[DIGEST_TEXT_SIZE];
            ck_assert_msg(named[i], "nobody knows %s.%s", digest_format(&names[i].digest, text),
                          names[i].generation);
        }
    }
}

// What was acknowledged as deleted in the life that ended.
static void deleted_check(int from)
{
    for (int i = from; i < journal->n; i++)
        if (journal->r[i].kind == OP_DELETE && lives[journal->r[i].image] == IS_NOT)
            image_check(journal->r[i].image);
}

static void all_check(int n_images)
{
    for (int i = 0; i < n_images; i++)
        if (lives[i] != IS_NOT)
            image_check(i);
    for (int t = 0; t < N_TAGS; t++)
        tag_check(t);
}

// Two walks: the first one sees them, the second one removes them.
static void orphans_go(void)
{
    struct orphans *o;
    uint64_t n = 0, bytes = 0;
    ck_assert_int_eq(orphans_new(bs, region.m, 0, &o), 0);
    for (int walk = 0; walk < 2; walk++) {
        bool ended = false;
        while (!ended)
            ck_assert_int_eq(orphans_step(o, 1024, &n, &bytes, &ended), 0);
    }
    orphans_free(o);
}

static void judge(int from)
{
    for (int i = from; i < journal->n; i++)
        expect(&journal->r[i]);
    stores_open();
    deleted_check(from);
    all_check(journal->next_image);
    ck_assert_int_eq(collect_all(), 0);
    orphans_go();
    files_check();
    all_check(journal->next_image);
    feed_verify(&region, "eastus");
    stores_close();
    links_check(region.path);
}

static void one_death(uint32_t rnd)
{
    int from = journal->n, status;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        life(rnd);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "it ended by itself: %d",
                  status);
    judge(from);
}

START_TEST(killed_at_random_points_of_pushes_deletions_and_collection)
{
    const char *kills = getenv("KILLS");
    int n = kills ? atoi(kills) : KILLS_DEFAULT;
    uint32_t rnd = 12;
    journal =
        mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(journal, MAP_FAILED);
    store_begin(&region, "eastus");
    snprintf(blobs_dir, sizeof blobs_dir, "%s/store", region.dir);
    ck_assert_int_eq(blob_files_open(blobs_dir, &bs), 0);
    stores_close();
    for (int t = 0; t < N_TAGS; t++)
        tag_only(t, NOTHING);
    for (int i = 0; i < n; i++)
        one_death(next_random(&rnd));
    ck_assert_int_gt(journal->next_image, n / 4);
    store_reopen(&region);
    store_end(&region);
    munmap(journal, sizeof *journal);
}
END_TEST

CHECK_MAIN("store/kills", killed_at_random_points_of_pushes_deletions_and_collection)
