// SPDX-License-Identifier: Apache-2.0
// `meridian topology`: check a topology with its changes, compile it, look at it, compare two,
// append a change, and pin the serial of fe.D.
#include "cli/edit.h"
#include "cli/topology_fleet.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/advice.h"
#include "config/catalogue.h"
#include "config/frontend.h"
#include "config/policy.h"
#include "control/change.h"
#include "control/changes_file.h"
#include "control/changes_undone.h"
#include "control/compiled.h"
#include "control/successor.h"
#include "control/topology_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct loaded {
    struct topology *t;
    bool compiled;
    size_t n_changes;
};

// A file with its changes. Says what is wrong; a change that cannot be taken is told, and no
// failure of the whole.
static int load(const char *path, struct loaded *out)
{
    struct diag d;
    char magic[8] = "";
    diag_init(&d);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    out->compiled =
        fd >= 0 && read(fd, magic, sizeof magic) == (ssize_t)sizeof magic && compiled_is(magic, 8);
    int rc = topology_file_load(path, &d, &out->t);
    if (!rc)
        rc = changes_load(path, &d, &out->t, &out->n_changes);
    diag_print(&d, stderr);
    size_t n = diag_count(&d);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "the topology %s cannot be used: %s", path, err_text(rc));
    if (n)
        return cli_fail(EXIT_FAILED, "not all changes of %s.changes can be taken", path);
    assert(out->t);
    return EXIT_DONE;
}

static size_t count_private(const struct topology *t)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; (r = topology_next(t, &it));)
        n += r->n_private_endpoints;
    return n;
}

static int describe(struct cli *c, const char *path, const struct loaded *l)
{
    const struct topology *t = l->t;
    size_t n_stamps = t->catalogue->n_stamps, n_private = count_private(t);
    uint32_t serial = (uint32_t)frontend_serial(t, clock_wall_ms() / 1000);
    bool pinned = frontend_pinned(t);
    if (cli_json(c))
        return cli_print_json(
            c, json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I}",
                         "file", path, "form", l->compiled ? "compiled" : "document", "domain",
                         t->domain, "version", (json_int_t)t->version, "baseVersion",
                         (json_int_t)t->frame->base_version, "changes", (json_int_t)l->n_changes,
                         "frontendSerial", (json_int_t)serial, "pinned", (int)pinned, "regions",
                         (json_int_t)t->n_regions, "stamps", (json_int_t)n_stamps, "registries",
                         (json_int_t)t->n_registries, "privateEndpoints", (json_int_t)n_private,
                         "views", (json_int_t)t->n_views));
    printf("file               %s (%s)\ndomain             %s\nversion            %llu", path,
           l->compiled ? "compiled" : "document", t->domain, (unsigned long long)t->version);
    if (l->n_changes)
        printf(" (%zu change%s after %llu)", l->n_changes, l->n_changes == 1 ? "" : "s",
               (unsigned long long)(t->version - l->n_changes));
    const char *pin = "";
    if (pinned)
        pin = " (pinned)";
    else if (t->frame->serial.pin)
        pin = " (the pin is of other content; meridian topology pin renews it)";
    printf("\nserial of fe.D     %u%s", (unsigned)serial, pin);
    printf("\nregions            %zu\nstamps             %zu\nregistries         %zu\nprivate "
           "endpoints  %zu\n"
           "views              %zu\n",
           t->n_regions, n_stamps, t->n_registries, n_private, t->n_views);
    return EXIT_DONE;
}

static void advise(const struct topology *t, const char *path)
{
    struct diag d;
    diag_init(&d);
    topology_advise(t, path, &d);
    diag_print(&d, stderr);
    diag_done(&d);
}

#define NOTES_MAX 8

// Of registries that come without an incarnation: nobody could tell them from an earlier one.
static void note_new(const struct topology *old, const struct topology *t, const char *path)
{
    struct catalogue_iter it = {0};
    size_t n = 0;
    for (const struct registry *r; n < NOTES_MAX && (r = topology_next(t, &it));) {
        if (r->incarnation || topology_registry(old, r->name))
            continue;
        n++;
        fprintf(stderr,
                "%s: note: registry %s is new. If there may have been another of its name before, "
                "give it `incarnation: %llu`, so that nothing which that one left in a region is "
                "taken for its own\n",
                path, r->name, (unsigned long long)t->version);
    }
}

// Would nodes that have `after` in force take it?
static int check_after(const char *path, const struct topology *t, const char *after)
{
    struct loaded old = {0};
    struct diag d;
    AUTO_BUF struct buf text;
    int64_t again_s;
    int rc = load(after, &old);
    if (rc) {
        snapshot_unref(old.t);
        return rc;
    }
    buf_init(&text, 0);
    diag_init(&d);
    bool lines = !file_read(path, TOPOLOGY_MAX_BYTES, &text) && !compiled_is(text.p, text.n);
    if (t->version <= old.t->version)
        diag_add(&d, path, 0, "version %llu is not above %llu, which %s has",
                 (unsigned long long)t->version, (unsigned long long)old.t->version, after);
    bool ok = successor_ok(old.t, t, bytes_of(text.p, lines ? text.n : 0), clock_wall_ms() / 1000,
                           &d, &again_s);
    ok = ok && !diag_count(&d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (ok)
        note_new(old.t, t, path);
    snapshot_unref(old.t);
    if (ok)
        return EXIT_DONE;
    return cli_fail(EXIT_FAILED, "nodes that have %s in force would refuse %s", after, path);
}

// Has the document taken over the changes beside it that it supersedes?
static int check_undone(const char *path, const struct topology *t)
{
    struct diag d;
    diag_init(&d);
    int rc = changes_undone(path, t, &d);
    size_t n = diag_count(&d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc == ERR_NOMEM)
        return cli_fail(EXIT_FAILED, "%s: %s", path, err_text(rc));
    if (!n)
        return EXIT_DONE;
    return cli_fail(
        EXIT_FAILED,
        "%s undoes what %s.changes says. Take it over (meridian topology export shows "
        "what is in force), or say --undo; when every node has the document, the file of "
        "changes can go",
        path, path);
}

static int check_or_show(struct cli *c, int argc, char **argv, bool show)
{
    struct loaded l = {0};
    const char *after = NULL;
    bool undo = false;
    const struct opt rows[] = {
        {0, "after", "FILE", "the topology in force: would nodes that have it take this one?",
         &after, NULL},
        {0, "undo", NULL, "what it undoes of the changes beside it is meant to be undone", NULL,
         &undo}};
    int rc = opt_parse(c, rows, show ? 0 : ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "topology %s: one file at a time", c->row->name);
    const char *path;
    if (argc == 2)
        path = argv[1];
    else
        path = c->topology;
    rc = load(path, &l);
    if (l.t && !show)
        advise(l.t, path);
    if (!rc && !show && !undo)
        rc = check_undone(path, l.t);
    if (!rc && after)
        rc = check_after(path, l.t, after);
    if (l.t && (show || (!rc && cli_json(c)))) {
        int printed = describe(c, path, &l);
        if (!rc)
            rc = printed;
    } else if (!rc) {
        printf("%s: good: version %llu, %zu registries in %zu regions\n", path,
               (unsigned long long)l.t->version, l.t->n_registries, l.t->n_regions);
    }
    snapshot_unref(l.t);
    return rc;
}

static int topology_check(struct cli *c, int argc, char **argv)
{
    return check_or_show(c, argc, argv, false);
}

static int topology_show(struct cli *c, int argc, char **argv)
{
    return check_or_show(c, argc, argv, true);
}

static int topology_compile(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "topology compile: give the topology and the file to write");
    struct loaded l = {0};
    AUTO_BUF struct buf out;
    struct stat st;
    buf_init(&out, 0);
    rc = load(argv[1], &l);
    if (rc) { // a change that cannot be taken would be lost without a word
        snapshot_unref(l.t);
        return rc;
    }
    rc = compiled_format(l.t, &out);
    if (rc == ERR_UNSUPPORTED)
        rc = cli_fail(
            EXIT_FAILED,
            "%s: registries and private_endpoints must begin lines of their own, so that they can "
            "be told from the rest; write the document in block style",
            argv[1]);
    else if (!rc)
        rc =
            file_write_atomic(argv[2], out.p, out.n, stat(argv[1], &st) ? 0640 : st.st_mode & 0666);
    if (rc < 0)
        rc = cli_fail(EXIT_FAILED, "%s: %s", argv[2], err_text(rc));
    if (!rc && cli_json(c))
        rc =
            cli_print_json(c, json_pack("{s:s, s:I, s:I, s:I}", "file", argv[2], "version",
                                        (json_int_t)l.t->version, "registries",
                                        (json_int_t)l.t->n_registries, "bytes", (json_int_t)out.n));
    else if (!rc)
        printf("%s: version %llu, %zu registries, %zu bytes\n", argv[2],
               (unsigned long long)l.t->version, l.t->n_registries, out.n);
    snapshot_unref(l.t);
    return rc;
}

// ---- diff ----

static bool same_moves(const struct registry *x, const struct registry *y)
{
    if (x->n_moves != y->n_moves)
        return false;
    for (size_t i = 0; i < x->n_moves; i++)
        if (x->moves[i].region != y->moves[i].region || x->moves[i].was != y->moves[i].was ||
            x->moves[i].since_s != y->moves[i].since_s)
            return false;
    return true;
}

static bool same_replicas(const struct registry *x, const struct registry *y)
{
    if (x->replica_set != y->replica_set || !same_moves(x, y))
        return false;
    for (size_t i = 0; i < x->n_replicas; i++)
        if (x->replicas[i].stamp != y->replicas[i].stamp ||
            x->replicas[i].global_routing != y->replicas[i].global_routing ||
            x->replicas[i].drained != y->replicas[i].drained ||
            x->replicas[i].stage != y->replicas[i].stage)
            return false;
    return !x->weights == !y->weights &&
           (!x->weights || !memcmp(x->weights, y->weights, TOPOLOGY_MAX_REGIONS));
}

static bool same_access(const struct registry *x, const struct registry *y)
{
    if (x->public_access != y->public_access || x->n_public_cidrs != y->n_public_cidrs)
        return false;
    for (size_t i = 0; i < x->n_public_cidrs; i++)
        if (x->public_cidrs[i].bits != y->public_cidrs[i].bits ||
            !ip_equal(&x->public_cidrs[i].ip, &y->public_cidrs[i].ip))
            return false;
    return true;
}

static bool same_endpoint(const struct private_endpoint *x, const struct private_endpoint *y)
{
    if (strcmp(x->name, y->name) != 0 || x->view != y->view || x->n_members != y->n_members)
        return false;
    if (x->stage != y->stage || x->answered_by != y->answered_by)
        return false;
    for (size_t i = 0; i < x->n_members; i++)
        if (x->members[i].kind != y->members[i].kind ||
            x->members[i].region != y->members[i].region ||
            !ip_equal(&x->members[i].ip, &y->members[i].ip))
            return false;
    return true;
}

static bool same_private(const struct registry *x, const struct registry *y)
{
    if (x->n_private_endpoints != y->n_private_endpoints)
        return false;
    for (size_t i = 0; i < x->n_private_endpoints; i++)
        if (!same_endpoint(x->private_endpoints[i], y->private_endpoints[i]))
            return false;
    return true;
}

static struct registry_policy rules_only(const struct registry *r)
{
    if (!r->policy)
        return (struct registry_policy){0};
    return (struct registry_policy){.repositories = r->policy->repositories,
                                    .n_repositories = r->policy->n_repositories};
}

static bool same_rates(const struct registry *x, const struct registry *y)
{
    static const struct rates none;
    const struct rates *a = policy_rates(x), *b = policy_rates(y);
    if (!a)
        a = &none;
    if (!b)
        b = &none;
    return rates_equal(a, b);
}

static bool same_rules(const struct registry *x, const struct registry *y)
{
    struct registry_policy p = rules_only(x), q = rules_only(y);
    AUTO_BUF struct buf a, b;
    buf_init(&a, 0);
    buf_init(&b, 0);
    policy_put(&a, &p);
    policy_put(&b, &q);
    return !a.err && !b.err && bytes_equal(bytes_of(a.p, a.n), bytes_of(b.p, b.n));
}

static bool same_stages(const struct registry *x, const struct registry *y)
{
    return x->stage == y->stage && x->regional_stage == y->regional_stage &&
           x->data_stage == y->data_stage;
}

// What of it is other, in words; "" when nothing is.
static const char *differences(struct cli *c, const struct registry *x, const struct registry *y)
{
    const struct {
        bool same;
        const char *what;
    } rows[] = {
        {!strcmp(x->label, y->label), "label"},
        {same_replicas(x, y), "replicas"},
        {x->regional_endpoints == y->regional_endpoints, "regional endpoints"},
        {x->data_endpoints == y->data_endpoints, "data endpoints"},
        {x->anonymous_pull == y->anonymous_pull, "anonymous pull"},
        {same_access(x, y), "public access"},
        {same_private(x, y), "private endpoints"},
        {same_stages(x, y), "stages of names"},
        {!strcmp(x->owner, y->owner), "owner"},
        {x->dnl_scope == y->dnl_scope, "scope of the label"},
        {policy_quota(x) == policy_quota(y), "quota"},
        {same_rates(x, y), "limits"},
        {policy_push_move(x) == policy_push_move(y), "where pushes move"},
        {same_rules(x, y), "rules of repositories"},
        {x->incarnation == y->incarnation, "another registry of that name"},
    };
    const char *out = "";
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (!rows[i].same)
            out = arena_printf(&c->arena, "%s%s%s", out, *out ? ", " : "", rows[i].what);
    return out;
}

static void tell(struct cli *c, json_t *list, const char *change, const char *name,
                 const char *what)
{
    if (cli_json(c)) {
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s}", "registry", name, "change", change, "what", what));
        return;
    }
    char mark = '~';
    if (!strcmp(change, "added"))
        mark = '+';
    else if (!strcmp(change, "removed"))
        mark = '-';
    printf("%c registry %s%s%s\n", mark, name, *what ? ": " : "", what);
}

static size_t compare(struct cli *c, const struct topology *x, const struct topology *y,
                      json_t *list)
{
    AUTO_FREE const struct registry **old = topology_sorted(x);
    AUTO_FREE const struct registry **new = topology_sorted(y);
    size_t n = 0;
    for (size_t i = 0; old && i < x->n_registries; i++)
        if (!topology_registry(y, old[i]->name)) {
            tell(c, list, "removed", old[i]->name, "");
            n++;
        }
    for (size_t i = 0; new &&i < y->n_registries; i++) {
        const struct registry *was = topology_registry(x, new[i]->name);
        const char *what = "";
        if (was)
            what = differences(c, was, new[i]);
        if (was && !*what)
            continue;
        tell(c, list, was ? "changed" : "added", new[i]->name, what);
        n++;
    }
    return n;
}

static bool same_regions(const struct topology *x, const struct topology *y)
{
    if (x->n_regions != y->n_regions || x->n_views != y->n_views)
        return false;
    for (size_t i = 0; i < x->n_regions; i++) {
        const struct region *a = &x->regions[i], *b = &y->regions[i];
        if (strcmp(a->name, b->name) != 0 || a->n_stamps != b->n_stamps)
            return false;
        for (size_t k = 0; k < a->n_stamps; k++)
            if (strcmp(a->stamps[k].name, b->stamps[k].name) != 0)
                return false;
    }
    for (size_t i = 0; i < x->n_views; i++)
        if (strcmp(x->views[i].name, y->views[i].name) != 0)
            return false;
    return true;
}

// The next line of a text that is not its version, which differs in any two.
static struct bytes next_line(const char *text, size_t n, size_t *at)
{
    static const char version[] = "version:";
    while (*at < n) {
        const char *line = text + *at, *end = memchr(line, '\n', n - *at);
        size_t len;
        if (end)
            len = (size_t)(end - line) + 1;
        else
            len = n - *at;
        *at += len;
        if (len < sizeof version || memcmp(line, version, sizeof version - 1) != 0)
            return bytes_of((const uint8_t *)line, len);
    }
    return (struct bytes){0};
}

// The rest is compared as text. Not the first line of it that differs is worth telling, but that it
// does: any diff of the two documents shows it. A document whose registries cannot be cut out is
// only like itself.
static bool same_rest(const struct topology *x, const struct topology *y)
{
    const struct topology_frame *a = x->frame, *b = y->frame;
    struct bytes one, other;
    size_t at = 0, other_at = 0;
    if (!a->text || !b->text)
        return !memcmp(a->base_hash, b->base_hash, sizeof a->base_hash);
    do {
        one = next_line(a->text, a->text_n, &at);
        other = next_line(b->text, b->text_n, &other_at);
        if (one.n != other.n || (one.n && memcmp(one.p, other.p, one.n) != 0))
            return false;
    } while (one.n);
    return true;
}

// Also when nodes that have the old one would refuse the new one for it.
static void tell_serial(struct cli *c, const struct topology *old, const struct topology *new,
                        int64_t now_s)
{
    uint32_t was = (uint32_t)frontend_serial(old, now_s),
             is = (uint32_t)frontend_serial(new, now_s);
    char *why = NULL;
    if (!cli_json(c) && was != is)
        printf("serial of fe.D %u -> %u\n", (unsigned)was, (unsigned)is);
    if (!frontend_serial_may_follow(old, new, now_s, &why))
        cli_complain("nodes would refuse it: %s", why ? why : err_text(ERR_NOMEM));
    free(why);
}

static int topology_diff(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3)
        return cli_fail(EXIT_USAGE, "topology diff: give the old and the new topology");
    struct loaded old = {0}, new = {0};
    rc = load(argv[1], &old);
    if (!rc)
        rc = load(argv[2], &new);
    if (!rc && !same_regions(old.t, new.t)) {
        rc = cli_fail(EXIT_FAILED,
                      "the two have other regions, stamps or views: compare the documents");
    } else if (!rc) {
        json_t *list = json_array();
        bool same = same_rest(old.t, new.t);
        if (!cli_json(c))
            printf("version %llu -> %llu\n%s", (unsigned long long)old.t->version,
                   (unsigned long long)new.t->version,
                   same ? "" : "~ other than registries: the documents differ\n");
        tell_serial(c, old.t, new.t, clock_wall_ms() / 1000);
        size_t n = compare(c, old.t, new.t, list);
        if (cli_json(c))
            cli_print_json(c, json_pack("{s:I, s:I, s:b, s:O}", "old", (json_int_t)old.t->version,
                                        "new", (json_int_t) new.t->version, "restDiffers",
                                        (int)!same, "registries", list));
        json_decref(list);
        if (n || !same)
            rc = EXIT_FAILED;
        else
            rc = EXIT_DONE;
    }
    snapshot_unref(old.t);
    snapshot_unref(new.t);
    return rc;
}

// ---- change ----

static int read_input(const char *path, struct buf *out)
{
    if (strcmp(path, "-") != 0)
        return file_read(path, CHANGE_MAX_BYTES, out);
    while (!out->err) {
        char *room = buf_room(out, 4096);
        ssize_t n = -1;
        if (room)
            n = read(STDIN_FILENO, room, 4096);
        if (n < 0 && errno == EINTR && !out->err)
            continue;
        if (n <= 0) {
            if (out->err)
                return out->err;
            if (n < 0)
                return err_from_errno(errno);
            return 0;
        }
        out->n += (size_t)n;
    }
    return out->err;
}

static int topology_change(struct cli *c, int argc, char **argv)
{
    int rc = opt_parse(c, NULL, 0, argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 2)
        return cli_fail(EXIT_USAGE,
                        "topology change: give the file with the change, or - for standard input");
    AUTO_BUF struct buf text;
    struct diag d;
    uint64_t version = 0;
    buf_init(&text, CHANGE_MAX_BYTES);
    rc = read_input(argv[1], &text);
    if (rc)
        return cli_fail(EXIT_FAILED, "%s: %s", argv[1], err_text(rc));
    diag_init(&d);
    rc = changes_append(c->topology, 0, buf_cstr(&text), text.n,
                        !strcmp(argv[1], "-") ? "standard input" : argv[1], &d, &version);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED, "the change was not appended to %s.changes: %s", c->topology,
                        err_text(rc));
    if (cli_json(c))
        return cli_print_json(c, json_pack("{s:s+, s:I}", "file", c->topology, ".changes",
                                           "version", (json_int_t)version));
    printf("%s.changes: version %llu\n", c->topology, (unsigned long long)version);
    return EXIT_DONE;
}

// ---- pin ----

static bool is_pinned(const struct topology *t, const void *ctx)
{
    (void)ctx;
    return frontend_pinned(t);
}

static int topology_pin(struct cli *c, int argc, char **argv)
{
    bool renew = false;
    const struct opt rows[] = {
        {0, "renew", NULL, "the serial is to be a new one, the version", NULL, &renew}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc > 2)
        return cli_fail(EXIT_USAGE, "topology pin: one file at a time");
    if (argc == 2)
        c->topology = argv[1];
    rc = edit_begin(c);
    if (rc)
        return rc;
    const struct zone_serial *s = &c->topo->frame->serial;
    uint64_t serial;
    if (renew)
        serial = c->topo->version + 1;
    else
        serial = s->base;
    const struct edit_section section = {"zone_serial",
                                         edit_zone_serial(c, serial, s->content, s->offset)};
    if (!section.text)
        return cli_fail(EXIT_FAILED, "%s is left as it was: %s", edit_name(c), err_text(ERR_NOMEM));
    if (renew || !frontend_pinned(c->topo))
        rc = edit_commit(c, &section, 1, is_pinned, NULL);
    if (rc)
        return rc;
    return cli_done(
        c, json_pack("{s:s, s:I}", "file", edit_name(c), "frontendSerial", (json_int_t)serial),
        "%s: the serial of fe.D is pinned at %llu", edit_name(c), (unsigned long long)serial);
}

static const struct command topology_cmds[] = {
    {"check",
     "is it good, with the changes beside it",
     "[FILE] [--after FILE] [--undo]",
     topology_check,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian topology check topology.yaml",
      "meridian topology check new.yaml --after topology.yaml"}},
    {"show",
     "what it holds, in numbers",
     "[FILE]",
     topology_show,
     USES_TOPOLOGY,
     0,
     1,
     {"meridian topology show", "meridian topology show topology.yaml -o json"}},
    {"compile",
     "write the form that nodes start from quickly",
     "FILE OUT",
     topology_compile,
     USES_TOPOLOGY,
     2,
     2,
     {"meridian topology compile topology.yaml topology.compiled",
      "meridian topology compile topology.yaml /etc/meridian/topology.compiled -o json"}},
    {"diff",
     "which registries differ; status 1 if any do",
     "OLD NEW",
     topology_diff,
     USES_TOPOLOGY,
     2,
     2,
     {"meridian topology diff old.yaml new.yaml",
      "meridian topology diff old.yaml new.yaml -o json"}},
    {"change",
     "append a change of registries to the stream that nodes follow",
     "FILE|-",
     topology_change,
     USES_TOPOLOGY,
     1,
     1,
     {"meridian topology change change.yaml",
      "meridian topology change - --topology /etc/meridian/topology.yaml"}},
    {"pin",
     "keep the serial of fe.D until its content changes",
     "[--renew] [FILE]",
     topology_pin,
     USES_CHANGE | USES_TOPOLOGY,
     0,
     1,
     {"meridian topology pin", "meridian topology pin --renew topology.yaml"}},
};

int cmd_topology(struct cli *c, int argc, char **argv)
{
    const struct command all[] = {topology_export_cmd, topology_history_cmd, topology_rollback_cmd,
                                  topology_cmds[0],    topology_cmds[1],     topology_cmds[2],
                                  topology_cmds[3],    topology_cmds[4],     topology_cmds[5]};
    return command_group(c, all, ARRAY_LEN(all), argc, argv);
}
