// SPDX-License-Identifier: Apache-2.0
// config/keep: what was offered last stands on disk in the end, and no reference stays behind.
#include "control/topology_saver.h"

#include "base/diag.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "control/compiled.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct topology *topology(unsigned version)
{
    char yaml[256];
    struct topology *t = NULL;
    struct diag d;
    snprintf(yaml, sizeof yaml,
             "version: %u\ndomain: example.io\nregions:\n  - {name: eastus, stamps: [{name: eus-1, "
             "ipv4: [192.0.2.1]}]}\n"
             "name_servers: [eus-1.eastus]\n",
             version);
    diag_init(&d);
    ck_assert_int_eq(topology_parse_as(TOPOLOGY_COMPACT, yaml, strlen(yaml), "t", &d, &t), 0);
    diag_done(&d);
    return t;
}

static void check_file(const char *path, const struct topology *t)
{
    AUTO_BUF struct buf found, expected;
    buf_init(&found, 0);
    buf_init(&expected, 0);
    ck_assert_int_eq(file_read(path, 1 << 20, &found), 0);
    ck_assert_int_eq(compiled_format(t, &expected), 0);
    ck_assert_uint_eq(found.n, expected.n);
    ck_assert_mem_eq(buf_cstr(&found), buf_cstr(&expected), found.n);
}

START_TEST(the_last_one_offered_is_on_disk)
{
    char dir[] = "/tmp/keep.XXXXXX", path[64];
    struct topology *t[40];
    struct topology_saver *k;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/topology.last", dir);
    ck_assert_int_eq(topology_saver_start(path, &k), 0);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++)
        topology_saver_offer(k, t[i] = topology(i + 1));
    topology_saver_stop(k);
    check_file(path, t[ARRAY_LEN(t) - 1]);
    for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
        ck_assert_uint_eq(snapshot_refs(t[i]), 1);
        snapshot_unref(t[i]);
    }
    dir_remove_tree(dir);
}
END_TEST

START_TEST(what_cannot_be_written_is_let_go)
{
    struct topology *t = topology(1);
    struct topology_saver *k;
    ck_assert_int_eq(topology_saver_start("/nowhere/at/all/topology.last", &k), 0);
    topology_saver_offer(k, t);
    topology_saver_stop(k);
    ck_assert_uint_eq(snapshot_refs(t), 1);
    snapshot_unref(t);
    topology_saver_stop(NULL);
}
END_TEST

START_TEST(out_of_memory_starts_nothing)
{
    for (long i = 1; i < 3; i++) {
        struct topology_saver *k = NULL;
        mem_fault_after(i);
        int rc = topology_saver_start("/tmp/topology.last", &k);
        mem_fault_after(0);
        ck_assert_int_eq(rc, ERR_NOMEM);
        ck_assert_ptr_null(k);
    }
}
END_TEST

CHECK_MAIN("config/keep", the_last_one_offered_is_on_disk, what_cannot_be_written_is_let_go,
           out_of_memory_starts_nothing)
