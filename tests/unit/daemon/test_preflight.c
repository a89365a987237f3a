// SPDX-License-Identifier: Apache-2.0
// daemon/preflight: what --check says of files that the users of the work cannot use, and of the
// edge's program. Started by root, another user tries; else this one, on files without a mode.
#include "daemon/preflight.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY 65534

static char dir[64];
static struct node *node;
static struct paths paths;
static struct identity id;
static struct diag diag;

static const char *at(const char *name)
{
    static char list[16][256];
    static int next;
    char *p = list[next++ % 16];
    snprintf(p, sizeof list[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, mode_t mode)
{
    ck_assert_int_eq(file_write_atomic(at(name), "x\n", 2, mode), 0);
    ck_assert(geteuid() != 0 || !chown(at(name), NOBODY, NOBODY));
}

static void setup(void)
{
    static const char *const made[] = {"data", "data/keys", "data/certs", "data/state"};
    snprintf(dir, sizeof dir, "/tmp/meridian-preflight-XXXXXX"); // any user may pass through /tmp
    ck_assert_ptr_nonnull(mkdtemp(dir));
    ck_assert_int_eq(chmod(dir, 0755), 0);
    for (size_t i = 0; i < ARRAY_LEN(made); i++) {
        ck_assert_int_eq(mkdir(at(made[i]), 0700), 0);
        ck_assert(i == 0 || geteuid() != 0 || !chown(at(made[i]), NOBODY, NOBODY));
    }
    ck_assert_int_eq(chmod(at("data"), 0711), 0);
    put("topology.yaml", 0644);
    static const char *const secrets[] = {
        "principals.yaml",       "data/keys/token.pem",   "data/keys/feed.pem", "data/keys/url.key",
        "data/certs/region.pem", "data/certs/shared.pem", "data/certs/peer.pem"};
    for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
        put(secrets[i], 0600);
    put("data/certs/ca.pem", 0644);
    AUTO_FREE char *text =
        mem_printf("region: eastus\nstamp: eus-1\nroles: [registry, auth]\ndata_dir: %s/data\n"
                   "topology: %s/topology.yaml\nprincipals: %s/principals.yaml\n"
                   "listen: { https: ['127.0.0.1:443'], peer: '127.0.0.1:8443' }\n"
                   "edge: { nginx: /bin/sh }\n",
                   dir, dir, dir);
    diag_init(&diag);
    if (node_parse(text, strlen(text), "node.yaml", &diag, &node))
        diag_print(&diag, stderr);
    ck_assert_ptr_nonnull(node);
    ck_assert_int_eq(paths_of(node, &diag, &paths), 0);
    bool root = geteuid() == 0;
    id = (struct identity){.switches = root,
                           .uid = root ? NOBODY : geteuid(),
                           .gid = root ? NOBODY : getegid(),
                           .edge_uid = root ? NOBODY : geteuid(),
                           .edge_gid = root ? NOBODY : getegid()};
}

static void teardown(void)
{
    diag_done(&diag);
    node_free(node);
    dir_remove_tree(dir);
}

static int judge(void)
{
    diag_done(&diag);
    diag_init(&diag);
    return preflight_files(node, &paths, &id, NULL, &diag);
}

static void says(const char *path, const char *part)
{
    ck_assert_uint_eq(diag_count(&diag), 1);
    ck_assert_msg(strstr(diag.lines[0], path) && strstr(diag.lines[0], part), "%s", diag.lines[0]);
}

START_TEST(what_the_daemons_user_cannot_use_is_named_with_its_cure)
{
    setup();
    ck_assert_int_eq(judge(), 0);
    static const struct {
        const char *name;
        mode_t bad, good;
        const char *cure;
    } rows[] = {{"topology.yaml", 0000, 0644, "chgrp "},
                {"principals.yaml", 0000, 0600, "chown "},
                {"principals.yaml", 0640, 0600, "others may read it"},
                {"data/keys/feed.pem", 0000, 0600, "chmod 600 "},
                {"data/certs/peer.pem", 0604, 0600, "others may read it"},
                {"data/certs/ca.pem", 0000, 0644, "chmod g+r "}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ck_assert_int_eq(chmod(at(rows[i].name), rows[i].bad), 0);
        ck_assert_int_eq(judge(), ERR_DENIED);
        says(at(rows[i].name), rows[i].cure);
        ck_assert_int_eq(chmod(at(rows[i].name), rows[i].good), 0);
    }
    ck_assert_int_eq(judge(), 0);
    teardown();
}
END_TEST

START_TEST(a_directory_of_data_dir_is_the_daemons_with_all_that_is_in_it)
{
    setup();
    if (geteuid() == 0) {
        ck_assert_int_eq(chown(at("data/state"), 0, 0), 0); // a start gives it away
        ck_assert_int_eq(judge(), 0);
        put("data/state/health.json", 0600); // what is in it would stay root's
        ck_assert_int_eq(judge(), ERR_DENIED);
        says(at("data/state"), "chown -R ");
    }

    teardown();
}
END_TEST

START_TEST(what_is_missing_counts_where_a_start_would_fail)
{
    static const char *const needed[] = {"data/keys/url.key", "data/certs/peer.pem"};
    setup();
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        ck_assert_int_eq(unlink(at(needed[i])), 0);
        ck_assert_int_eq(judge(), ERR_DENIED);
        says(at(needed[i]), "meridian init");
        put(needed[i], 0600);
    }
    ck_assert_int_eq(unlink(at("data/certs/region.pem")), 0); // it is asked for at start
    ck_assert_int_eq(judge(), 0);
    teardown();
}
END_TEST

START_TEST(a_directory_in_the_way_is_said_once_for_each_user)
{
    setup();
    if (geteuid() == 0) {
        ck_assert_int_eq(chmod(dir, 0700), 0);
        ck_assert_int_eq(judge(), ERR_DENIED);
        ck_assert_uint_eq(diag_count(&diag), 2);
        for (size_t i = 0; i < 2; i++)
            ck_assert_ptr_nonnull(strstr(diag.lines[i], "chmod o+x"));
    }
    teardown();
}
END_TEST

START_TEST(an_edge_without_a_program_is_said)
{
    setup();
    ck_assert_int_eq(preflight_edge_program(node, &diag), 0);
    node->nginx = at("no-such");
    ck_assert_int_eq(preflight_edge_program(node, &diag), ERR_NOTFOUND);
    says("edge.nginx", "apt-get install nginx-light");
    node->nginx = dir;
    ck_assert_int_eq(preflight_edge_program(node, &diag), ERR_NOTFOUND);
    node->roles = ROLE_RESOLVER; // no edge
    ck_assert_int_eq(preflight_edge_program(node, &diag), 0);
    teardown();
}
END_TEST

// What this kernel has is the machine's affair; what is said of it is ours.
START_TEST(tls_that_the_kernel_has_not_got_is_said)
{
    setup();
    ck_assert_int_eq(preflight_kernel_tls(node, &diag), 0); // not asked for
    node->edge_ktls = true;
    int rc = preflight_kernel_tls(node, &diag);
    ck_assert(rc == 0 || rc == ERR_UNSUPPORTED);
    ck_assert_uint_eq(diag_count(&diag), rc ? 1 : 0);
    if (rc)
        says("edge.ktls", "modprobe tls");
    node->roles = ROLE_RESOLVER; // no edge
    ck_assert_int_eq(preflight_kernel_tls(node, &diag), 0);
    teardown();
}
END_TEST

CHECK_MAIN("daemon/preflight", what_the_daemons_user_cannot_use_is_named_with_its_cure,
           a_directory_of_data_dir_is_the_daemons_with_all_that_is_in_it,
           what_is_missing_counts_where_a_start_would_fail,
           a_directory_in_the_way_is_said_once_for_each_user, an_edge_without_a_program_is_said,
           tls_that_the_kernel_has_not_got_is_said)
